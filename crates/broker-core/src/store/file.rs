//! Records as files: one a provider, a lock file beside it.

use std::fs::{OpenOptions, TryLockError};
use std::io::{ErrorKind as IoErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::Value;
use zeroize::Zeroizing;

use super::filesystem::Filesystem;
use super::lock::{Attempt, is_unsupported, lock};
use super::locked::LockedFile;
use super::second_place::{self, SecondPlace};
use crate::record::FORMAT;
use crate::{Env, Error, Loaded, Locking, Reach, Record, Result, Store, StoreAbout};

/// More than any record: a bigger file is something else.
pub(super) const LONGEST_RECORD: u64 = 16 * 1024 * 1024;

/// What temporary files end with.
pub(super) const SUFFIX: &str = ".tmp";

/// Records as files in one folder: `NAME.json` (0600), and `NAME.lock` beside it, locked while it changes.
#[derive(Debug, Clone)]
pub struct FileStore {
    pub(super) folder: PathBuf,
    pub(super) second: SecondPlace,
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

    pub(super) fn filesystem(&self) -> &Filesystem {
        self.filesystem.get_or_init(|| Filesystem::of(&self.folder))
    }

    /// The record, or what was saved in the second place since.
    pub(super) fn newest(&self, provider: &str) -> Result<Loaded> {
        let own = read(&self.record_path(provider), provider);
        match (own, self.second.read(provider)) {
            (own, None) => own,
            (Ok(Loaded::Record(own)), Some(other)) if own.age() > other.age() => Ok(Loaded::Record(own)),
            (_, Some(other)) => Ok(Loaded::Rescued(Box::new(other))),
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
        self.newest(provider)
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        self.make_folder()?;
        let beside = self.folder.join(format!("{provider}.lock"));
        // A network file system may have no locks: the processes of this host are always kept apart by one that works.
        let on_host = if self.filesystem().shared { Some(self.lock_on_host(provider)) } else { None };
        if let Some(Ok(Attempt::Busy(holder))) = on_host {
            return Ok(Locking::Busy(holder));
        }
        let (on_host, beside) = match lock(&beside)? {
            Attempt::Taken(lock) => (on_host.and_then(Result::ok), Some(lock)),
            Attempt::Busy(holder) => return Ok(Locking::Busy(holder)),
            // Then the host's is the only one.
            Attempt::Unsupported => (Some(on_host.unwrap_or_else(|| self.lock_on_host(provider))?), None),
        };
        let on_host = match on_host {
            Some(Attempt::Busy(holder)) => return Ok(Locking::Busy(holder)),
            Some(Attempt::Taken(lock)) => Some(lock),
            Some(Attempt::Unsupported) | None => None,
        };
        let locks: Vec<_> = on_host.into_iter().chain(beside).collect();
        if locks.is_empty() {
            return Err(Error::failed("no lock can be had on this host"));
        }
        Ok(Locking::Taken(Box::new(LockedFile::new(self.clone(), provider, locks))))
    }

    fn about(&self) -> StoreAbout {
        let filesystem = self.filesystem();
        // Only a try tells whether a network file system has locks at all.
        let try_one = || tempfile::tempfile_in(&self.folder).map(|file| file.try_lock());
        let has_none = filesystem.shared
            && matches!(try_one(), Ok(Err(TryLockError::Error(error))) if is_unsupported(&error));
        let elsewhere = has_none.then(|| self.second.lock_path("NAME").display().to_string());
        StoreAbout {
            place: self.folder.display().to_string(),
            on: filesystem.name.clone(),
            shared: filesystem.shared,
            reach: if has_none { Reach::Host } else { filesystem.reach },
            lock_elsewhere: elsewhere,
        }
    }
}

impl FileStore {
    fn lock_on_host(&self, provider: &str) -> Result<Attempt> {
        let path = self.second.lock_path(provider);
        SecondPlace::make_lock_folder()
            .map_err(|error| cannot("have a lock of this host at", &path, error))?;
        lock(&path)
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
