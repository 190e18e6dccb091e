//! A store with one record file and one lock file for each provider.

pub(crate) mod bytes;
mod filesystem;
mod lock;
mod locked;
mod locked_file;
pub(crate) mod plain;
pub(crate) mod runtime;

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use crate::context::{platform, quoted_path};
use crate::error::{Error, ErrorCode, Result};
use crate::store::sealed::{Sealer, Sealing};
use crate::store::{Loaded, LockScope, Locking, Store, StoreAbout};
use bytes::cannot_write;

pub(crate) use lock::{Attempt, lock};
pub(crate) use locked::LockedRecord;
pub(crate) use locked_file::{LockedFile, private};

/// A store of record files in one folder: `NAME.json` (mode 0600), and `NAME.lock`, which is locked during changes.
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
    sealing: Sealing,
    about: Arc<OnceLock<StoreAbout>>,
}

impl FileStore {
    /// Creates a store in `folder`. The first save creates the folder with mode 0700.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), sealing: Sealing::default(), about: Arc::default() }
    }

    /// Adds encryption. New logins use the sealer's configured method; existing records keep their storage format.
    #[must_use]
    pub fn with_sealer(self, sealer: Arc<dyn Sealer>) -> Self {
        Self { sealing: Sealing::new(sealer), ..self }
    }

    /// Returns the path of a provider's record file.
    pub fn record_path(&self, provider: &str) -> PathBuf {
        self.folder.join(format!("{provider}.json"))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn sealing(&self) -> &Sealing {
        &self.sealing
    }

    /// Describes the folder, without an attempt to lock a file.
    fn folder_about(&self) -> &StoreAbout {
        self.about.get_or_init(|| filesystem::about(&self.folder))
    }

    fn make_folder(&self) -> Result<()> {
        let folder = &self.folder;
        let cannot_create = |error| cannot_write("create the state folder", folder, error);
        platform::make_folder(folder).map_err(cannot_create)?;
        let meta = std::fs::metadata(folder).map_err(cannot_create)?;
        if platform::everybody_writes(&meta) {
            let message =
                format!("cannot use the state folder {}: every user can write to it", folder.display());
            let error = Error::new(ErrorCode::StoreUnwritable, message);
            return Err(error.with_hint(format!("run: chmod 700 {}", quoted_path(folder))));
        }
        Ok(())
    }

    /// Locks the record, or returns the process that has the lock.
    pub(crate) fn lock(&self, provider: &str) -> Result<std::result::Result<LockedRecord, Option<String>>> {
        self.make_folder()?;
        // A network file system may not support locks, so processes of this host also lock a file in a local folder.
        let mut on_host = self.folder_about().shared.then(|| self.lock_on_host(provider));
        if let Some(Ok(Attempt::Busy(holder))) = on_host {
            return Ok(Err(holder));
        }
        let (mut locks, mut folder) = (Vec::new(), None);
        match lock(&self.folder.join(format!("{provider}.lock")))? {
            Attempt::Busy(holder) => return Ok(Err(holder)),
            Attempt::Taken(lock) => {
                locks.push(lock.file);
                folder = Some(lock.folder);
            }
            Attempt::Unsupported => {
                on_host = Some(Ok(on_host.unwrap_or_else(|| self.lock_on_host(provider))?));
            }
        }
        match on_host {
            Some(Ok(Attempt::Taken(lock))) => locks.push(lock.file),
            Some(Ok(Attempt::Busy(holder))) => return Ok(Err(holder)),
            Some(Ok(Attempt::Unsupported) | Err(_)) | None => {}
        }
        if locks.is_empty() {
            return Err(Error::new(
                ErrorCode::StoreUnwritable,
                "cannot lock the record: no file system of this host supports locks",
            ));
        }
        Ok(Ok(LockedRecord::new(self.clone(), provider, locks, folder)))
    }

    fn lock_on_host(&self, provider: &str) -> Result<Attempt> {
        let path = runtime::lock_path(&self.folder, provider);
        runtime::make(path.parent().unwrap_or(&path))
            .map_err(|error| cannot_write("create the lock file", &path, error))?;
        lock(&path)
    }
}

#[async_trait]
impl Store for FileStore {
    fn read(&self, provider: &str, may_wait: bool) -> Result<Option<Loaded>> {
        self.sealing.read(&self.record_path(provider), provider, may_wait)
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        Ok(match self.lock(provider)? {
            Ok(locked) => Locking::Taken(Box::new(locked)),
            Err(holder) => Locking::Busy(holder),
        })
    }

    fn about(&self) -> StoreAbout {
        let mut about = self.folder_about().clone();
        // Only an attempt to lock a file shows whether a network file system supports locks.
        let try_lock = || tempfile::tempfile_in(&self.folder).map(|file| file.try_lock());
        if about.shared
            && matches!(try_lock(), Ok(Err(TryLockError::Error(error))) if platform::has_no_locks(&error))
        {
            about.reach = LockScope::Host;
            about.lock_elsewhere = Some(runtime::lock_path(&self.folder, "NAME").display().to_string());
        }
        about
    }
}
