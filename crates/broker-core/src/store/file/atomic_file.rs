//! Replaces a file atomically, in disk space that was reserved earlier.

use std::io::{ErrorKind as IoErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::bytes::{LONGEST_FILE, cannot_write, file_names};
use crate::{Error, ErrorCode, Result, platform};

/// The disk space to reserve for one save, in addition to the current file's size.
const SPACE: usize = 64 * 1024;

const SUFFIX: &str = ".tmp";

/// Temporary files older than one hour are leftovers of killed processes.
const LONGEST_WRITE: Duration = Duration::from_hours(1);

/// A file whose content is replaced atomically. The caller must have the file's lock.
pub(super) struct AtomicFile {
    path: PathBuf,
    prefix: String,
    /// Whether other hosts may use the folder of the file.
    on_network: bool,
    /// Temporary files with reserved disk space, one for each save that is planned.
    reserved: Vec<NamedTempFile>,
}

impl AtomicFile {
    pub(super) fn new(path: PathBuf, prefix: String, on_network: bool) -> Self {
        Self { path, prefix, on_network, reserved: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// Reserves disk space for `saves` saves.
    pub(super) fn probe(&mut self, saves: usize) -> Result<()> {
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
    pub(super) fn replace(&mut self, bytes: &[u8]) -> Result<()> {
        self.probe(1)?;
        if let Err(error) = self.put(bytes) {
            if !platform::is_gone(&error) {
                return Err(cannot_write("replace", &self.path, error));
            }
            // The reserved temporary files are gone: another host or a cleanup program may have removed them.
            self.reserved.clear();
            self.probe(1)?;
            self.put(bytes).map_err(|error| cannot_write("replace", &self.path, error))?;
        }
        self.sync_folder()
    }

    pub(super) fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
            Err(error) => Err(cannot_write("remove", &self.path, error)),
            Ok(()) => self.sync_folder(),
        }
    }

    /// Renames the file to an unused name, because the next save would overwrite the content. Returns the new path.
    pub(super) fn quarantine(&self) -> Result<Option<String>> {
        let free = (1..=u32::MAX)
            .map(|number| self.path.with_added_extension(format!("aside-{number}")))
            // While this process has the file's lock, no other process creates a file with the unused name.
            .find(|path| path.symlink_metadata().is_err());
        let no_name = || format!("cannot rename {}: no unused file name is left", self.path.display());
        let quarantine = free.ok_or_else(|| Error::new(ErrorCode::StoreUnwritable, no_name()))?;
        match std::fs::rename(&self.path, &quarantine) {
            // Another process may have removed the file.
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_write("rename", &self.path, error)),
            Ok(()) => {
                // Other users may have had permission to read the file.
                let _ = platform::make_private(&quarantine);
                Ok(Some(quarantine.display().to_string()))
            }
        }
    }

    /// Writes the content to a reserved temporary file, then renames the temporary file to the file's path.
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = self.reserved.pop().ok_or_else(|| std::io::Error::other("no space is reserved"))?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)?;
        file.as_file().set_len(bytes.len() as u64)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn reserve(&self) -> std::io::Result<NamedTempFile> {
        let size = std::fs::metadata(&self.path).map_or(0, |meta| meta.len().min(LONGEST_FILE));
        let mut file = platform::temporary_file(self.folder(), &self.prefix, SUFFIX)?;
        let size = usize::try_from(size).unwrap_or(0) + SPACE;
        file.write_all(&vec![0; size])?;
        // Some network file systems report a full disk or an exceeded quota only on sync.
        file.as_file().sync_data()?;
        Ok(file)
    }

    /// Removes temporary files of killed processes. On a network file system, recent files may belong to another host
    /// and stay.
    fn sweep(&self) {
        let is_old = |path: &Path| {
            let modified = path.symlink_metadata().and_then(|meta| meta.modified());
            modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE))
        };
        for name in file_names(self.folder()) {
            let path = self.folder().join(&name);
            let is_temporary = name.strip_suffix(SUFFIX).is_some_and(|name| name.starts_with(&self.prefix));
            if is_temporary && (!self.on_network || is_old(&path)) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn sync_folder(&self) -> Result<()> {
        let folder = self.folder();
        platform::sync_folder(folder).map_err(|error| cannot_write("sync the folder", folder, error))
    }
}
