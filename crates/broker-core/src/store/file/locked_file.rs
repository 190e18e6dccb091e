//! Replaces a locked file atomically, in disk space that was reserved earlier.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind as IoErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::bytes::{LONGEST_FILE, cannot_write, file_names, is_missing, read_bytes};
use super::filesystem;
use crate::context::platform::{self, FileId, Folder};
use crate::error::{Error, ErrorCode, Result};

/// The disk space to reserve for one save, in addition to the current file's size.
const SPACE: usize = 64 * 1024;

const SUFFIX: &str = ".tmp";

/// Temporary files older than one hour are leftovers of killed processes.
const LONGEST_WRITE: Duration = Duration::from_hours(1);

/// A file that this process has locked, and whose content it replaces atomically.
pub(crate) struct LockedFile {
    path: PathBuf,
    /// The beginning of the names of temporary files.
    prefix: String,
    /// The open lock files. Closing these files releases the locks.
    _locks: Vec<File>,
    /// The folder of the file, which contains the lock file too. All saves are made in this folder.
    opened: Option<Folder>,
    /// Temporary files with reserved disk space, one for each save that is planned.
    reserved: Vec<(NamedTempFile, FileId)>,
}

impl LockedFile {
    /// Without an open folder, [`LockedFile::probe`] opens the folder.
    pub(crate) fn new(path: PathBuf, prefix: String, locks: Vec<File>, opened: Option<Folder>) -> Self {
        Self { path, prefix, _locks: locks, opened, reserved: Vec::new() }
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Reserves disk space for `saves` saves. Fails if the folder was moved or replaced after it was opened.
    pub(crate) fn probe(&mut self, saves: usize) -> Result<()> {
        if self.reserved.len() >= saves {
            return Ok(());
        }
        let opened = match &self.opened {
            Some(opened) => opened.check_at(self.folder()).map(|()| None),
            None => Folder::open(self.folder()).map(Some),
        };
        let opened = opened.map_err(|error| cannot_write("write to the folder", self.folder(), error))?;
        self.opened = opened.or(self.opened.take());
        if self.reserved.is_empty() {
            self.sweep();
        }
        while self.reserved.len() < saves {
            let file = self.reserve();
            let file = file.map_err(|error| cannot_write("write to the folder", self.folder(), error))?;
            self.reserved.push(file);
        }
        Ok(())
    }

    /// Replaces the file's content. The new content survives a crash.
    pub(crate) fn replace(&mut self, bytes: &[u8]) -> Result<()> {
        self.replace_if(bytes, || true).map(drop)
    }

    /// Like [`LockedFile::replace`], but returns false without a change if `is_current` is false right before the rename.
    pub(crate) fn replace_if(&mut self, bytes: &[u8], is_current: impl Fn() -> bool) -> Result<bool> {
        self.probe(1)?;
        let mut replaced = self.put(bytes, &is_current);
        if replaced.as_ref().is_err_and(platform::is_gone) {
            // The reserved temporary files are gone: another host or a cleanup program may have removed them.
            self.reserved.clear();
            self.probe(1)?;
            replaced = self.put(bytes, &is_current);
        }
        replaced.map_err(|error| cannot_write("replace", &self.path, error))
    }

    pub(crate) fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
            Err(error) => Err(cannot_write("remove", &self.path, error)),
            Ok(()) => {
                let folder = self.folder();
                platform::sync_folder(folder).map_err(|error| cannot_write("sync the folder", folder, error))
            }
        }
    }

    /// Gives the content a second, unused name, because the next save replaces the content. The file keeps its name
    /// until then. Returns the new path.
    pub(crate) fn quarantine(&self) -> Result<Option<PathBuf>> {
        for number in 1..=u32::MAX {
            let path = self.path.with_added_extension(format!("aside-{number}"));
            match std::fs::hard_link(&self.path, &path) {
                Ok(()) => return Ok(Some(path)),
                // Another process may have removed the file.
                Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
                Err(_) if !is_missing(&path) => {
                    // An earlier save was interrupted after this step.
                    if self.has_content_of(&path) {
                        return Ok(Some(path));
                    }
                }
                // Some file systems have no hard links.
                Err(_) => {
                    let copied = self.copy_to(&path);
                    return copied
                        .map_err(|error| cannot_write("copy", &self.path, error))
                        .map(|()| Some(path));
                }
            }
        }
        let message = format!("cannot rename {}: no unused file name is left", self.path.display());
        Err(Error::new(ErrorCode::StoreUnwritable, message))
    }

    fn has_content_of(&self, other: &Path) -> bool {
        match (read_bytes(&self.path), read_bytes(other)) {
            (Ok(Some(ours)), Ok(Some(theirs))) => ours == theirs && ours.len() as u64 <= LONGEST_FILE,
            _ => false,
        }
    }

    fn copy_to(&self, path: &Path) -> std::io::Result<()> {
        let mut copy = platform::temporary_file(self.folder(), &self.prefix, SUFFIX)?;
        std::io::copy(&mut platform::open(&self.path)?, &mut copy)?;
        platform::put_in_place(copy, path)
    }

    /// Writes the content to a reserved temporary file, then renames the temporary file to the file's path.
    fn put(&mut self, bytes: &[u8], is_current: &impl Fn() -> bool) -> std::io::Result<bool> {
        let (mut file, id) = self.reserved.pop().ok_or_else(|| IoError::other("no space is reserved"))?;
        let folder = self.opened.as_ref().ok_or_else(|| IoError::other("no folder is open"))?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)?;
        file.as_file().set_len(bytes.len() as u64)?;
        file.as_file().sync_all()?;
        if !is_current() {
            return Ok(false);
        }
        platform::replace_in(folder, file, id, &self.path).map(|()| true)
    }

    fn reserve(&self) -> std::io::Result<(NamedTempFile, FileId)> {
        let size = std::fs::metadata(&self.path).map_or(0, |meta| meta.len().min(LONGEST_FILE));
        let mut file = platform::temporary_file(self.folder(), &self.prefix, SUFFIX)?;
        let size = usize::try_from(size).unwrap_or(0) + SPACE;
        file.write_all(&vec![0; size])?;
        // Some network file systems report a full disk or an exceeded quota only on sync.
        file.as_file().sync_data()?;
        let id = FileId::of(file.as_file())?;
        Ok((file, id))
    }

    /// Removes temporary files of killed processes. On a network file system, recent files may belong to another host
    /// and stay.
    fn sweep(&self) {
        let is_old = |path: &Path| {
            let modified = path.symlink_metadata().and_then(|meta| meta.modified());
            modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE))
        };
        for name in file_names(self.folder()).unwrap_or_default() {
            let path = self.folder().join(&name);
            let is_temporary = name.strip_suffix(SUFFIX).is_some_and(|name| name.starts_with(&self.prefix));
            if is_temporary && (!filesystem::about(self.folder()).shared || is_old(&path)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Makes a quarantined file private, because other users may have had permission to read it. Returns its path.
pub(crate) fn private(quarantined: &Path) -> String {
    let _ = platform::make_private(quarantined);
    quarantined.display().to_string()
}
