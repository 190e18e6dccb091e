//! A store with one record file and one lock file for each provider.

mod atomic_file;
mod bytes;
mod external_login;
mod fallback;
mod filesystem;
mod layout;
mod lock;
mod locked;
mod migrate;
mod read;
mod sealed;

use std::fs::TryLockError;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::context::platform;
use crate::context::{Env, quoted_path};
use crate::error::{Error, ErrorCode, Result};
use crate::store::{Loaded, LockScope, Locking, Store, StoreAbout};
use bytes::cannot_write;
use fallback::FallbackStore;
use layout::StoreLayout;
use lock::{Attempt, lock};
use locked::LockedFile;

pub(crate) use external_login::ExternalLoginStore;
pub use migrate::{Migrated, StorageFormat};
pub use sealed::{Envelope, Sealer};

/// A store of record files in one folder: `NAME.json` (mode 0600), and `NAME.lock`, which is locked during changes.
#[derive(Debug, Clone)]
pub struct FileStore {
    layout: StoreLayout,
}

impl FileStore {
    /// Creates a store in `folder`. The first save creates the folder with mode 0700.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let fallback = FallbackStore::new(Vec::new(), &folder);
        Self { layout: StoreLayout::new(folder, fallback) }
    }

    /// Saves records in a runtime folder if the state folder is not writable: `$XDG_RUNTIME_DIR/broker`,
    /// `/run/user/UID/broker` or `/tmp/broker-UID`.
    #[must_use]
    pub fn with_runtime_folder(mut self, env: &dyn Env) -> Self {
        self.layout.fallback = FallbackStore::new(fallback::folders(env), &self.layout.folder);
        self
    }

    /// Adds encryption. New logins use the sealer's configured method; existing records keep their storage format.
    #[must_use]
    pub fn with_sealer(mut self, sealer: Arc<dyn Sealer>) -> Self {
        self.layout.sealer = Some(sealer);
        self
    }

    /// Returns the path of a provider's record file.
    #[must_use]
    pub fn record_path(&self, provider: &str) -> PathBuf {
        self.layout.record_path(provider)
    }

    fn make_folder(&self) -> Result<()> {
        let cannot_create = |error| cannot_write("create the state folder", &self.layout.folder, error);
        platform::make_folder(&self.layout.folder).map_err(cannot_create)?;
        let meta = std::fs::metadata(&self.layout.folder).map_err(cannot_create)?;
        if platform::everybody_writes(&meta) {
            let folder = &self.layout.folder;
            let message =
                format!("cannot use the state folder {}: every user can write to it", folder.display());
            let error = Error::new(ErrorCode::StoreUnwritable, message);
            return Err(error.with_hint(format!("run: chmod 700 {}", quoted_path(folder))));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FileStore {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        Ok(self.layout.newest(provider)?.loaded)
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        Ok(match self.lock(provider)? {
            Ok(locked) => Locking::Taken(Box::new(locked)),
            Err(holder) => Locking::Busy(holder),
        })
    }

    fn about(&self) -> StoreAbout {
        let filesystem = self.layout.filesystem();
        // Only an attempt to lock a file shows whether a network file system supports locks.
        let try_lock = || tempfile::tempfile_in(&self.layout.folder).map(|file| file.try_lock());
        let unsupported = filesystem.is_network
            && matches!(try_lock(), Ok(Err(TryLockError::Error(error))) if platform::has_no_locks(&error));
        let lock_elsewhere =
            unsupported.then(|| self.layout.fallback.lock_path("NAME").display().to_string());
        StoreAbout {
            place: self.layout.folder.display().to_string(),
            on: filesystem.name.clone(),
            shared: filesystem.is_network,
            reach: if unsupported { LockScope::Host } else { filesystem.reach },
            lock_elsewhere,
        }
    }
}

impl FileStore {
    /// Locks the record, or returns the process that has the lock.
    fn lock(&self, provider: &str) -> Result<std::result::Result<LockedFile, Option<String>>> {
        self.make_folder()?;
        // A network file system may not support locks, so processes of this host also lock a file in a local folder.
        let is_network = self.layout.filesystem().is_network;
        let on_host = is_network.then(|| self.lock_on_host(provider));
        if let Some(Ok(Attempt::Busy(holder))) = on_host {
            return Ok(Err(holder));
        }
        let in_folder = lock(&self.layout.folder.join(format!("{provider}.lock")))?;
        let on_host = match in_folder {
            Attempt::Unsupported => Some(on_host.unwrap_or_else(|| self.lock_on_host(provider))?),
            Attempt::Taken(_) | Attempt::Busy(_) => on_host.and_then(Result::ok),
        };
        let (mut locks, mut folder) = (Vec::new(), None);
        for (attempt, is_in_folder) in
            on_host.map(|lock| (lock, false)).into_iter().chain([(in_folder, true)])
        {
            match attempt {
                Attempt::Taken(lock) => {
                    locks.push(lock.file);
                    folder = Some(lock.folder).filter(|_| is_in_folder);
                }
                Attempt::Busy(holder) => return Ok(Err(holder)),
                Attempt::Unsupported => {}
            }
        }
        if locks.is_empty() {
            return Err(Error::new(
                ErrorCode::StoreUnwritable,
                "cannot lock the record: no file system of this host supports locks",
            ));
        }
        Ok(Ok(LockedFile::new(self.layout.clone(), provider, locks, folder)))
    }

    fn lock_on_host(&self, provider: &str) -> Result<Attempt> {
        let path = self.layout.fallback.lock_path(provider);
        fallback::make(path.parent().unwrap_or(&path))
            .map_err(|error| cannot_write("create the lock file", &path, error))?;
        lock(&path)
    }
}
