//! Storage formats of records, and migration to the configured one.

use std::path::PathBuf;
use std::time::Duration;

use super::bytes::read_bytes;
use super::file::FileStore;
use super::sealed::Envelope;
use crate::backoff::Backoff;
use crate::{Result, is_provider_name};

/// The storage format of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageFormat {
    /// Plain text, or not a record.
    Plain,
    /// Sealed with this.
    Sealed(String),
}

/// The result of [`FileStore::migrate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migrated {
    /// It was rewritten in the configured format.
    Moved,
    /// It was in the configured format already.
    Already,
    /// No record is stored.
    Nothing,
    /// It cannot be read, and is unchanged; the text says why.
    Unreadable(String),
}

impl FileStore {
    /// The providers that have a record in this store or in a fallback file, configured or not.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let files = self.files().into_iter();
        let mut names: Vec<_> =
            files.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
        names.extend(self.layout.fallback.names());
        names.retain(|name| is_provider_name(name));
        names.sort();
        names.dedup();
        names
    }

    /// Returns the storage format of a provider's record, without decrypting it; `None` if no record is stored.
    pub fn storage_format(&self, provider: &str) -> Result<Option<StorageFormat>> {
        let fallback = self.layout.fallback.files(provider).collect::<Vec<_>>();
        for path in fallback.iter().chain([&self.record_path(provider)]) {
            if let Some(bytes) = read_bytes(path)? {
                let envelope = Envelope::read(&bytes);
                return Ok(Some(
                    envelope.map_or(StorageFormat::Plain, |envelope| StorageFormat::Sealed(envelope.with)),
                ));
            }
        }
        Ok(None)
    }

    /// Rewrites a provider's record in the configured format, under its lock and atomically. It waits for the lock up to
    /// `limit`, and calls `tell` if that takes long. It needs a tokio runtime with time.
    pub async fn migrate(
        &self,
        provider: &str,
        limit: Duration,
        tell: impl Fn(&str) + Send,
    ) -> Result<Migrated> {
        let mut backoff = Backoff::up_to(limit);
        loop {
            let holder = match self.lock(provider)? {
                Ok(mut locked) => return locked.migrate().await,
                Err(holder) => holder.unwrap_or_else(|| "another process".to_owned()),
            };
            let (pause, is_long) = backoff.next(&holder)?;
            tokio::time::sleep(pause).await;
            if is_long {
                tell(&format!("waiting for {holder} to renew or log in to {provider}"));
            }
        }
    }

    /// Runs `work` with all records locked. If another process has a lock, returns `None` and does nothing.
    pub fn while_idle<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let locks = self.files().into_iter().filter_map(|name| name.strip_suffix(".lock").map(str::to_owned));
        let mut all = Vec::new();
        for provider in locks.filter(|name| is_provider_name(name)) {
            match self.lock(&provider)? {
                Ok(locked) => all.push(locked),
                Err(_) => return Ok(None),
            }
        }
        work().map(Some)
    }

    /// The quarantined records in this folder that are not sealed and may be plain text.
    #[must_use]
    pub fn plain_quarantined(&self) -> Vec<PathBuf> {
        let mut names: Vec<_> =
            self.files().into_iter().filter(|name| name.contains(".json.aside-")).collect();
        names.sort();
        let paths = names.into_iter().map(|name| self.layout.folder.join(name));
        paths.filter(|path| Envelope::of_file(path).is_none()).collect()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.layout.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}
