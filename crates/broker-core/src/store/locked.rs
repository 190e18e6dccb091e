//! A record file under its lock: how it is replaced.

use std::fs::{DirEntry, File};
use std::io::{ErrorKind as IoErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::Errno;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::place::Place;
use super::read::{LONGEST_RECORD, SUFFIX, cannot, read};
use crate::{Error, Loaded, Locked, Record, Result};

/// What is set aside on the disk before an exchange, beyond the size of the record as it is.
const ROOM: usize = 64 * 1024;

/// Nobody is between an exchange and its save for longer.
const LONGEST_WRITE: Duration = Duration::from_hours(1);

/// A record under its lock.
pub(super) struct LockedFile {
    /// Unlocked when closed.
    _locks: Vec<File>,
    place: Place,
    path: PathBuf,
    provider: String,
    /// Rooms set aside by a probe, each for a save.
    rooms: Vec<NamedTempFile>,
    /// Whether what is there could not be read: looked at before an exchange, not between its answer and the save.
    unreadable: bool,
}

impl LockedFile {
    /// The record of `provider`, while `locks` are held.
    pub(super) fn new(place: Place, provider: &str, locks: Vec<File>) -> Self {
        let path = place.record_path(provider);
        let provider = provider.to_owned();
        Self { _locks: locks, place, path, provider, rooms: Vec::new(), unreadable: false }
    }
}

#[async_trait]
impl Locked for LockedFile {
    async fn load(&mut self) -> Result<Loaded> {
        let loaded = self.place.newest(&self.provider)?;
        self.unreadable = match &loaded {
            Loaded::Nothing | Loaded::Record(_) => false,
            Loaded::Unreadable(_) => true,
            Loaded::Rescued(_) => matches!(read(&self.path, &self.provider), Ok(Loaded::Unreadable(_))),
        };
        Ok(loaded)
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        if self.rooms.is_empty() {
            self.sweep();
        }
        while self.rooms.len() < saves {
            let room = self.make_room().map_err(|error| cannot("write to", &self.place.folder, error))?;
            self.rooms.push(room);
        }
        Ok(())
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let bytes = bytes(record)?;
        self.probe(1).await?;
        let aside = self.set_aside_unreadable()?;
        if let Err(error) = self.put(&bytes) {
            if !is_gone(&error) {
                return Err(cannot("replace", &self.path, error));
            }
            // Another host, or who cleans up, has removed the room that was set aside.
            self.rooms.clear();
            self.probe(1).await?;
            self.put(&bytes).map_err(|error| cannot("replace", &self.path, error))?;
        }
        self.sync_folder()?;
        if let Err(error) = self.place.second.clear(&self.provider) {
            tracing::warn!(%error, "an older record stays in the second place");
        }
        Ok(aside)
    }

    async fn rescue(&mut self, record: &Record) -> Result<String> {
        let saved = self.place.second.save(&self.provider, &bytes(record)?);
        let path = saved
            .map_err(|error| Error::failed(format!("nor in a second place: {error}")).with_source(error))?;
        Ok(path.display().to_string())
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        let aside = self.set_aside_unreadable()?;
        self.place.second.clear(&self.provider).map_err(|error| {
            Error::failed(format!("what is kept in the second place cannot be removed: {error}"))
                .with_source(error)
        })?;
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != IoErrorKind::NotFound => Err(cannot("remove", &self.path, error)),
            _ => self.sync_folder().map(|()| aside),
        }
    }
}

/// Whether a file was removed by somebody else.
fn is_gone(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::STALE))
}

fn bytes(record: &Record) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = serde_json::to_vec_pretty(record)
        .map_err(|error| Error::failed("the record cannot be written as JSON").with_source(error))?;
    Ok(Zeroizing::new(bytes))
}

impl LockedFile {
    fn temporary_prefix(&self) -> String {
        format!(".{}.", self.provider)
    }

    /// Writes into a room and puts it in the record's place.
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
        let size = std::fs::metadata(&self.path).map_or(0, |meta| meta.len().min(LONGEST_RECORD));
        let mut file = tempfile::Builder::new()
            .prefix(&self.temporary_prefix())
            .suffix(SUFFIX)
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.place.folder)?;
        let size = usize::try_from(size).unwrap_or(0) + ROOM;
        file.write_all(&vec![0; size])?;
        // A full disk or quota of a network file system may only show here.
        file.as_file().sync_data()?;
        Ok(file)
    }

    /// Removes what processes that were killed left behind: under the lock, nobody else writes here. Where other hosts
    /// see the folder, and their locks may not be seen here, only what is old.
    fn sweep(&self) {
        let prefix = self.temporary_prefix();
        let is_old = |entry: &DirEntry| {
            let modified = entry.metadata().and_then(|meta| meta.modified());
            modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > LONGEST_WRITE))
        };
        for entry in std::fs::read_dir(&self.place.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let left_behind = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if left_behind.is_some_and(|name| name.starts_with(&prefix))
                && (!self.place.filesystem().shared || is_old(&entry))
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Keeps what cannot be read under a name of its own.
    fn set_aside_unreadable(&mut self) -> Result<Option<String>> {
        if !self.unreadable {
            return Ok(None);
        }
        let free = (1..=u32::MAX)
            .map(|number| self.place.folder.join(format!("{}.json.aside-{number}", self.provider)))
            // Under the lock nobody else takes the name.
            .find(|aside| aside.symlink_metadata().is_err());
        let aside =
            free.ok_or_else(|| Error::failed("no name is free to keep an unreadable record under"))?;
        let kept = match std::fs::rename(&self.path, &aside) {
            // Somebody has removed it meanwhile.
            Err(error) if error.kind() == IoErrorKind::NotFound => None,
            moved => {
                moved.map_err(|error| cannot("move aside", &self.path, error))?;
                Some(aside.display().to_string())
            }
        };
        self.unreadable = false;
        Ok(kept)
    }

    /// A rename is durable once the folder is.
    fn sync_folder(&self) -> Result<()> {
        match File::open(&self.place.folder).and_then(|folder| folder.sync_all()) {
            // Some network file systems cannot; there a rename is as durable as it gets.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP)) => {
                Ok(())
            }
            synced => synced.map_err(|error| cannot("make a change durable in", &self.place.folder, error)),
        }
    }
}
