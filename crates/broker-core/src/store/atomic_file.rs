//! A file that is replaced as one step, in room that was set aside before.

use std::fs::DirEntry;
use std::io::{ErrorKind as IoErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::bytes::{LONGEST_FILE, cannot};
use super::read::SUFFIX;
use crate::{Error, Result, platform};

/// What is set aside on the disk before an exchange, beyond the size of the file as it is.
const ROOM: usize = 64 * 1024;

/// Nobody is between an exchange and its save for longer.
const LONGEST_WRITE: Duration = Duration::from_hours(1);

/// A file that only the holder of its lock replaces.
pub(super) struct AtomicFile {
    folder: PathBuf,
    path: PathBuf,
    /// What the names of its temporary files begin with.
    prefix: String,
    /// Whether other hosts see the folder.
    elsewhere: bool,
    /// Rooms set aside by a probe, each for a save.
    rooms: Vec<NamedTempFile>,
}

impl AtomicFile {
    /// The file `name` with the ending `ending` in `folder`.
    pub(super) fn new(folder: &Path, name: &str, ending: &str, elsewhere: bool) -> Self {
        Self {
            folder: folder.to_owned(),
            path: folder.join(format!("{name}{ending}")),
            prefix: format!(".{name}."),
            elsewhere,
            rooms: Vec::new(),
        }
    }

    /// The file at `path`.
    pub(super) fn of(path: &Path, elsewhere: bool) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Self::new(path.parent().unwrap_or(Path::new("/")), &name, "", elsewhere)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that it can be replaced so many times.
    pub(super) fn probe(&mut self, saves: usize) -> Result<()> {
        if self.rooms.is_empty() {
            self.sweep();
        }
        while self.rooms.len() < saves {
            let room = self.make_room().map_err(|error| cannot("write to", &self.folder, error))?;
            self.rooms.push(room);
        }
        Ok(())
    }

    /// Replaces it; when this returns, that is durable.
    pub(super) fn replace(&mut self, bytes: &[u8]) -> Result<()> {
        self.probe(1)?;
        if let Err(error) = self.put(bytes) {
            if !platform::is_gone(&error) {
                return Err(cannot("replace", &self.path, error));
            }
            // Another host, or who cleans up, has removed the room that was set aside.
            self.rooms.clear();
            self.probe(1)?;
            self.put(bytes).map_err(|error| cannot("replace", &self.path, error))?;
        }
        self.sync_folder()
    }

    /// Removes it, if it is there.
    pub(super) fn remove(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
            Err(error) => Err(cannot("remove", &self.path, error)),
            Ok(()) => self.sync_folder(),
        }
    }

    /// Keeps it under a name of its own; says where.
    pub(super) fn quarantine(&self) -> Result<Option<String>> {
        let free = (1..=u32::MAX)
            .map(|number| {
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".aside-{number}"));
                PathBuf::from(name)
            })
            // Under the lock nobody else takes the name.
            .find(|aside| aside.symlink_metadata().is_err());
        let aside =
            free.ok_or_else(|| Error::failed("no name is free to keep an unreadable record under"))?;
        match std::fs::rename(&self.path, &aside) {
            // Somebody has removed it meanwhile.
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot("move aside", &self.path, error)),
            Ok(()) => {
                // Who wrote it may have left it open to others.
                let _ = platform::make_private(&aside);
                Ok(Some(aside.display().to_string()))
            }
        }
    }

    /// Writes into a room and puts it in the file's place.
    fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = self.rooms.pop().ok_or_else(|| std::io::Error::other("no room was set aside"))?;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(bytes)?;
        file.as_file().set_len(bytes.len() as u64)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn make_room(&self) -> std::io::Result<NamedTempFile> {
        let size = std::fs::metadata(&self.path).map_or(0, |meta| meta.len().min(LONGEST_FILE));
        let mut file = platform::temporary_file(&self.folder, &self.prefix, SUFFIX)?;
        let size = usize::try_from(size).unwrap_or(0) + ROOM;
        file.write_all(&vec![0; size])?;
        // A full disk or quota of a network file system may only show here.
        file.as_file().sync_data()?;
        Ok(file)
    }

    /// Removes what processes that were killed left behind: under the lock, nobody else writes here. Where other hosts
    /// see the folder, and their locks may not be seen here, only what is old.
    fn sweep(&self) {
        let is_old = |entry: &DirEntry| {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE))
        };
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let left_behind = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if left_behind.is_some_and(|name| name.starts_with(&self.prefix))
                && (!self.elsewhere || is_old(&entry))
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// A rename is durable once the folder is.
    fn sync_folder(&self) -> Result<()> {
        platform::sync_folder(&self.folder)
            .map_err(|error| cannot("make a change durable in", &self.folder, error))
    }
}
