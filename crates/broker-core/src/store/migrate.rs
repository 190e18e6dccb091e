//! Lists the records of a store, and converts them to the configured storage format.

use std::path::PathBuf;
use std::time::Duration;

use super::fallback::{FallbackStore, LockedCopies};
use super::file::bytes::{file_names, file_stems, read_bytes};
use super::sealed::Envelope;
use crate::context::backoff::Backoff;
use crate::error::Result;
use crate::record::{StorageFormat, is_provider_name};
use crate::store::{Loaded, Locked, Store};

/// The result of a conversion with [`FallbackStore::migrate`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migrated {
    /// The record file was rewritten in the configured storage format.
    Moved,
    /// The record file already had the configured storage format, or no record is stored.
    Already,
    /// The record file is unreadable and was not changed; the text says why.
    Unreadable(String),
}

impl FallbackStore {
    /// Returns the storage format of a provider's record without decryption; `None` if no record is stored.
    pub fn storage_format(&self, provider: &str) -> Result<Option<StorageFormat>> {
        for path in self.copies(provider)?.into_iter().chain([self.files.record_path(provider)]) {
            if let Some(bytes) = read_bytes(&path)? {
                let sealed = Envelope::read(&bytes).map(|envelope| StorageFormat::Sealed(envelope.with));
                return Ok(Some(sealed.unwrap_or(StorageFormat::Plain)));
            }
        }
        Ok(None)
    }

    /// Rewrites a provider's record atomically in the configured storage format. Waits up to `limit` for the lock, and
    /// calls `tell` with a message if the wait is long. Needs a tokio runtime with timers, and waits for the keys on its
    /// thread.
    pub async fn migrate(
        &self,
        provider: &str,
        limit: Duration,
        tell: impl Fn(&str) + Send,
    ) -> Result<Migrated> {
        let mut backoff = Backoff::up_to(limit);
        loop {
            let (pause, message) = match self.lock(provider)? {
                Ok(mut locked) => return locked.migrate().await,
                Err(holder) => backoff.next(provider, holder)?,
            };
            tokio::time::sleep(pause).await;
            if let Some(message) = message {
                tell(&message);
            }
        }
    }

    /// Locks all records and runs `work`. If another process has a lock, returns `None` without running `work`.
    pub fn while_idle<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let mut locks = Vec::new();
        for provider in
            file_stems(self.files.folder(), ".lock")?.into_iter().filter(|name| is_provider_name(name))
        {
            match self.files.lock(&provider)? {
                Ok(locked) => locks.push(locked),
                Err(_) => return Ok(None),
            }
        }
        work().map(Some)
    }

    /// Returns the paths of quarantined files that are not encrypted and may contain plain-text secrets.
    pub fn plain_quarantined(&self) -> Vec<PathBuf> {
        let names = file_names(self.files.folder()).unwrap_or_default().into_iter();
        let names = names.filter(|name| name.contains(".json.aside-"));
        let paths = names.map(|name| self.files.folder().join(name));
        paths.filter(|path| Envelope::of_file(path).is_none()).collect()
    }
}

impl LockedCopies {
    async fn migrate(&mut self) -> Result<Migrated> {
        // Gets the key on this thread.
        self.store.read(&self.provider, true)?;
        let (mut record, is_copy) = match self.load().await? {
            Loaded::Nothing => return Ok(Migrated::Already),
            Loaded::Unreadable(why) => return Ok(Migrated::Unreadable(why)),
            Loaded::Record(record) => (record, false),
            Loaded::FromFallback(record) => (record, true),
        };
        let sealing = self.store.files.sealing();
        let configured = sealing.configured();
        if record.0.format.as_ref() == Some(&configured) && !is_copy {
            // The runtime folder may contain an older copy of this record in the previous storage format.
            self.clear()?;
            return Ok(Migrated::Already);
        }
        record.0.format = Some(configured);
        sealing.probe(&record, &self.provider).map_or(Ok(()), |probe| probe())?;
        self.own.reserve(1)?;
        self.save(&record).await?;
        Ok(Migrated::Moved)
    }
}
