//! Records as files: one a provider, a lock file beside it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind as IoErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::Value;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::filesystem::Filesystem;
use super::lock::{Attempt, is_unsupported, lock};
use super::second_place::{self, SecondPlace};
use crate::record::FORMAT;
use crate::{Env, Error, Loaded, Locked, Locking, Reach, Record, Result, Store, StoreAbout};

/// More than any record: a bigger file is something else.
const LONGEST_RECORD: u64 = 1024 * 1024;

/// What is set aside on the disk before an exchange, beyond the size of the record as it is.
const ROOM: usize = 64 * 1024;

/// What temporary files end with.
pub(super) const SUFFIX: &str = ".tmp";

/// Records as files in one folder: `NAME.json` (0600), and `NAME.lock` beside it, locked while it changes.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
    second: SecondPlace,
    filesystem: Arc<OnceLock<Filesystem>>,
}

impl FileStore {
    /// A store in `folder`, which is made (0700) when the first record is written. It has no second place.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { second: SecondPlace::new(Vec::new(), &folder), folder, filesystem: Arc::default() }
    }

    /// With the user's runtime folder as the second place, for a record that could not be saved in its own:
    /// `$XDG_RUNTIME_DIR/broker`, `/run/user/UID/broker` or `/tmp/broker-UID`.
    #[must_use]
    pub fn with_runtime_folder(mut self, env: &dyn Env) -> Self {
        self.second = SecondPlace::new(second_place::folders(env), &self.folder);
        self
    }

    /// Where a provider's record is.
    #[must_use]
    pub fn record_path(&self, provider: &str) -> PathBuf {
        self.folder.join(format!("{provider}.json"))
    }

    fn filesystem(&self) -> &Filesystem {
        self.filesystem.get_or_init(|| Filesystem::of(&self.folder))
    }

    /// The record, or what was saved in the second place since; and whether it is the latter.
    fn newest(&self, provider: &str) -> Result<(Loaded, bool)> {
        let own = read(&self.record_path(provider), provider);
        match (own, self.second.read(provider)) {
            (own, None) => Ok((own?, false)),
            (Ok(Loaded::Record(own)), Some(other)) if own.revision() > other.revision() => {
                Ok((Loaded::Record(own), false))
            }
            (_, Some(other)) => Ok((Loaded::Record(Box::new(other)), true)),
        }
    }

    fn make_folder(&self) -> Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(|error| cannot("make the folder", &self.folder, error))?;
        let mode =
            std::fs::metadata(&self.folder).map_err(|error| cannot("use", &self.folder, error))?.mode();
        // Where the sticky bit is set, others cannot replace what is ours.
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            let folder = self.folder.display();
            return Err(Error::failed(format!("everybody can write to {folder}: no login is kept there"))
                .with_hint(format!("run: chmod 700 {folder}")));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FileStore {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        self.newest(provider).map(|(loaded, _)| loaded)
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        self.make_folder()?;
        let mut locks = Vec::new();
        if self.filesystem().is_shared() {
            // The file system may have no locks: those of this host are always kept apart by one that works.
            match self.lock_on_host(provider)? {
                Attempt::Taken(lock) => locks.push(lock),
                Attempt::Busy(holder) => return Ok(Locking::Busy(holder)),
                Attempt::Unsupported => {}
            }
        }
        match lock(&self.folder.join(format!("{provider}.lock")))? {
            Attempt::Taken(lock) => locks.push(lock),
            Attempt::Busy(holder) => return Ok(Locking::Busy(holder)),
            Attempt::Unsupported if locks.is_empty() => match self.lock_on_host(provider)? {
                Attempt::Taken(lock) => locks.push(lock),
                Attempt::Busy(holder) => return Ok(Locking::Busy(holder)),
                Attempt::Unsupported => return Err(Error::failed("no lock can be had on this host")),
            },
            Attempt::Unsupported => {}
        }
        Ok(Locking::Taken(Box::new(LockedFile {
            _locks: locks,
            store: self.clone(),
            path: self.record_path(provider),
            provider: provider.to_owned(),
            room: None,
            unreadable: false,
        })))
    }

    fn about(&self) -> StoreAbout {
        let filesystem = self.filesystem();
        // Only a try tells whether a network file system has locks at all.
        let try_one = || tempfile::tempfile_in(&self.folder).map(|file| file.try_lock());
        let has_none = filesystem.is_shared()
            && matches!(try_one(), Ok(Err(TryLockError::Error(error))) if is_unsupported(&error));
        let elsewhere = has_none.then(|| self.second.lock_path("NAME").ok()).flatten();
        StoreAbout {
            place: self.folder.display().to_string(),
            on: filesystem.name.clone(),
            reach: match filesystem.reach {
                Reach::Hosts | Reach::Unknown if has_none => Reach::Host { alone: false },
                reach => reach,
            },
            lock_elsewhere: elsewhere.map(|path| path.display().to_string()),
        }
    }
}

impl FileStore {
    fn lock_on_host(&self, provider: &str) -> Result<Attempt> {
        let path = self
            .second
            .lock_path(provider)
            .map_err(|error| cannot("have a lock beside the network file system of", &self.folder, error))?;
        lock(&path)
    }
}

struct LockedFile {
    /// Unlocked when closed.
    _locks: Vec<File>,
    store: FileStore,
    path: PathBuf,
    provider: String,
    /// Room set aside by a probe, for the next save.
    room: Option<NamedTempFile>,
    /// Whether what is there could not be read: looked at before an exchange, not between its answer and the save.
    unreadable: bool,
}

#[async_trait]
impl Locked for LockedFile {
    async fn load(&mut self) -> Result<Loaded> {
        let (loaded, elsewhere) = self.store.newest(&self.provider)?;
        self.unreadable = matches!(loaded, Loaded::Unreadable(_))
            || elsewhere && matches!(read(&self.path, &self.provider), Ok(Loaded::Unreadable(_)));
        if let Loaded::Record(record) = &loaded
            && elsewhere
        {
            match self.save(record).await {
                Ok(_) => {
                    tracing::info!("what was kept in the second place is back in {}", self.path.display());
                }
                Err(error) => tracing::info!(%error, "the record stays in the second place"),
            }
        }
        Ok(loaded)
    }

    async fn probe(&mut self) -> Result<()> {
        if self.room.is_none() {
            self.sweep();
            self.room =
                Some(self.make_room().map_err(|error| cannot("write to", &self.store.folder, error))?);
        }
        Ok(())
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let bytes = bytes(record)?;
        self.probe().await?;
        let aside = self.set_aside_unreadable()?;
        let Some(mut file) = self.room.take() else { return Err(Error::failed("no room was set aside")) };
        let write = |file: &mut NamedTempFile| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&bytes)?;
            file.as_file().set_len(bytes.len() as u64)?;
            file.as_file().sync_all()
        };
        write(&mut file).map_err(|error| cannot("write to", &self.store.folder, error))?;
        file.persist(&self.path).map_err(|error| cannot("replace", &self.path, error.error))?;
        self.sync_folder()?;
        self.store.second.clear(&self.provider);
        Ok(aside)
    }

    async fn rescue(&mut self, record: &Record) -> Result<String> {
        let saved = self.store.second.save(&self.provider, &bytes(record)?);
        let path = saved
            .map_err(|error| Error::failed(format!("nor in a second place: {error}")).with_source(error))?;
        Ok(path.display().to_string())
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        if let Some(aside) = self.set_aside_unreadable()? {
            return Ok(Some(aside));
        }
        self.store.second.clear(&self.provider);
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != IoErrorKind::NotFound => Err(cannot("remove", &self.path, error)),
            _ => self.sync_folder().map(|()| None),
        }
    }
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

    fn make_room(&self) -> std::io::Result<NamedTempFile> {
        let size = std::fs::metadata(&self.path).map_or(0, |meta| meta.len().min(LONGEST_RECORD));
        let mut file = tempfile::Builder::new()
            .prefix(&self.temporary_prefix())
            .suffix(SUFFIX)
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.store.folder)?;
        let size = usize::try_from(size).unwrap_or(0) + ROOM;
        file.write_all(&vec![0; size])?;
        // A full disk or quota of a network file system may only show here.
        file.as_file().sync_data()?;
        Ok(file)
    }

    /// Removes what processes that were killed left behind: under the lock, nobody else writes here.
    fn sweep(&self) {
        let prefix = self.temporary_prefix();
        for entry in std::fs::read_dir(&self.store.folder).into_iter().flatten().flatten() {
            if entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.strip_suffix(SUFFIX).is_some_and(|name| name.starts_with(&prefix)))
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
            .map(|number| self.store.folder.join(format!("{}.json.aside-{number}", self.provider)))
            // Under the lock nobody else takes the name.
            .find(|aside| aside.symlink_metadata().is_err());
        let aside =
            free.ok_or_else(|| Error::failed("no name is free to keep an unreadable record under"))?;
        std::fs::rename(&self.path, &aside).map_err(|error| cannot("move aside", &self.path, error))?;
        self.unreadable = false;
        Ok(Some(aside.display().to_string()))
    }

    /// A rename is durable once the folder is.
    fn sync_folder(&self) -> Result<()> {
        match File::open(&self.store.folder).and_then(|folder| folder.sync_all()) {
            // Some network file systems cannot; there a rename is as durable as it gets.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP)) => {
                Ok(())
            }
            synced => synced.map_err(|error| cannot("make a change durable in", &self.store.folder, error)),
        }
    }
}

pub(super) fn read(path: &Path, provider: &str) -> Result<Loaded> {
    let file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(Loaded::Nothing),
        Err(error) => return Err(cannot("read", path, error)),
    };
    let meta = file.metadata().map_err(|error| cannot("read", path, error))?;
    if !meta.is_file() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(Error::failed(format!("{} is not a file of yours: it is not used", path.display()))
            .with_hint("move it away"));
    }
    // With room for all of it, it is read at once.
    let size = usize::try_from(meta.len().min(LONGEST_RECORD)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    file.take(LONGEST_RECORD + 1).read_to_end(&mut bytes).map_err(|error| cannot("read", path, error))?;
    if bytes.len() as u64 > LONGEST_RECORD {
        return Ok(Loaded::Unreadable(format!("{} is larger than any record", path.display())));
    }
    Ok(parse(&bytes, provider).map_or_else(
        |why| Loaded::Unreadable(format!("{} {why}", path.display())),
        |record| Loaded::Record(Box::new(record)),
    ))
}

fn parse(bytes: &[u8], provider: &str) -> Result<Record, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    let unreadable = match serde_json::from_slice::<Record>(bytes) {
        Ok(record) if record.version() == FORMAT && record.provider() == provider => return Ok(record),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let value = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    Err(match (value.get("version").and_then(Value::as_u64), value.get("provider").and_then(Value::as_str)) {
        (Some(version), _) if version > FORMAT => {
            format!("was written by a newer broker (format {version}, this one reads {FORMAT})")
        }
        (Some(FORMAT), Some(name)) if name != provider => format!("is the record of `{name}`"),
        _ => match unreadable {
            Some(error) if error.is_eof() => "ends in the middle".to_owned(),
            _ => "is not a record of the broker".to_owned(),
        },
    })
}

pub(super) fn no_follow() -> i32 {
    // The bits of open(2) flags are an int.
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

pub(super) fn cannot(what: &str, path: &Path, error: std::io::Error) -> Error {
    let link = Errno::from_io_error(&error) == Some(Errno::LOOP);
    let why =
        if link { "it is a symbolic link, which is not followed".to_owned() } else { error.to_string() };
    Error::failed(format!("cannot {what} {}: {why}", path.display()))
        .with_hint("--state-dir or BROKER_STATE_DIR names another folder for what the broker holds")
        .with_source(error)
}
