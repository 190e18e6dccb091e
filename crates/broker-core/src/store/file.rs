//! Records as files: one a provider, a lock file beside it.

use std::fs::TryLockError;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::bytes::cannot;
use super::fallback::{self, FallbackStore};
use super::layout::StoreLayout;
use super::lock::{Attempt, lock};
use super::locked::LockedFile;
use super::sealed::Sealer;
use crate::platform;
use crate::{Env, Error, Loaded, LockScope, Locking, Result, Store, StoreAbout};

/// Records as files in one folder: `NAME.json` (0600), and `NAME.lock` beside it, locked while it changes.
#[derive(Debug, Clone)]
pub struct FileStore {
    pub(super) place: StoreLayout,
}

impl FileStore {
    /// A store in `folder`, which is made (0700) when the first record is written. It has no second place.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let second = FallbackStore::new(Vec::new(), &folder);
        Self { place: StoreLayout::new(folder, second) }
    }

    /// With the user's runtime folder as the second place, for a record that could not be saved in its own:
    /// `$XDG_RUNTIME_DIR/broker`, `/run/user/UID/broker` or `/tmp/broker-UID`.
    #[must_use]
    pub fn with_runtime_folder(mut self, env: &dyn Env) -> Self {
        self.place.second = FallbackStore::new(fallback::folders(env), &self.place.folder);
        self
    }

    /// With somebody who seals records: new ones in the configured way, and those that are there as they are.
    #[must_use]
    pub fn with_sealer(mut self, sealer: Arc<dyn Sealer>) -> Self {
        self.place.sealer = Some(sealer);
        self
    }

    /// Where a provider's record is.
    #[must_use]
    pub fn record_path(&self, provider: &str) -> PathBuf {
        self.place.record_path(provider)
    }

    fn make_folder(&self) -> Result<()> {
        platform::make_folder(&self.place.folder)
            .map_err(|error| cannot("make the folder", &self.place.folder, error))?;
        let meta = std::fs::metadata(&self.place.folder)
            .map_err(|error| cannot("use", &self.place.folder, error))?;
        if platform::everybody_writes(&meta) {
            let folder = self.place.folder.display();
            return Err(Error::failed(format!("everybody can write to {folder}: no login is kept there"))
                .with_hint(format!("run: chmod 700 {folder}")));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for FileStore {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        Ok(self.place.newest(provider)?.loaded)
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        Ok(match self.lock(provider)? {
            Ok(locked) => Locking::Taken(Box::new(locked)),
            Err(holder) => Locking::Busy(holder),
        })
    }

    fn about(&self) -> StoreAbout {
        let filesystem = self.place.filesystem();
        // Only a try tells whether a network file system has locks at all.
        let try_one = || tempfile::tempfile_in(&self.place.folder).map(|file| file.try_lock());
        let has_none = filesystem.shared
            && matches!(try_one(), Ok(Err(TryLockError::Error(error))) if platform::has_no_locks(&error));
        let elsewhere = has_none.then(|| self.place.second.lock_path("NAME").display().to_string());
        StoreAbout {
            place: self.place.folder.display().to_string(),
            on: filesystem.name.clone(),
            shared: filesystem.shared,
            reach: if has_none { LockScope::Host } else { filesystem.reach },
            lock_elsewhere: elsewhere,
        }
    }
}

impl FileStore {
    /// The record under its lock, or who has that.
    pub(super) fn lock(&self, provider: &str) -> Result<std::result::Result<LockedFile, Option<String>>> {
        self.make_folder()?;
        let beside = self.place.folder.join(format!("{provider}.lock"));
        // A network file system may have no locks: the processes of this host are always kept apart by one that works.
        let on_host = if self.place.filesystem().shared { Some(self.lock_on_host(provider)) } else { None };
        if let Some(Ok(Attempt::Busy(holder))) = on_host {
            return Ok(Err(holder));
        }
        let (on_host, beside) = match lock(&beside)? {
            Attempt::Taken(lock) => (on_host.and_then(Result::ok), Some(lock)),
            Attempt::Busy(holder) => return Ok(Err(holder)),
            // Then the host's is the only one.
            Attempt::Unsupported => (Some(on_host.unwrap_or_else(|| self.lock_on_host(provider))?), None),
        };
        let on_host = match on_host {
            Some(Attempt::Busy(holder)) => return Ok(Err(holder)),
            Some(Attempt::Taken(lock)) => Some(lock),
            Some(Attempt::Unsupported) | None => None,
        };
        let locks: Vec<_> = on_host.into_iter().chain(beside).collect();
        if locks.is_empty() {
            return Err(Error::failed("no lock can be had on this host"));
        }
        Ok(Ok(LockedFile::new(self.place.clone(), provider, locks)))
    }

    fn lock_on_host(&self, provider: &str) -> Result<Attempt> {
        let path = self.place.second.lock_path(provider);
        FallbackStore::make_lock_folder()
            .map_err(|error| cannot("have a lock of this host at", &path, error))?;
        lock(&path)
    }
}
