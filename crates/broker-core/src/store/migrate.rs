//! Moving records to the configured way of keeping them, and which way each has.

use std::path::PathBuf;
use std::time::Duration;

use super::bytes::read_bytes;
use super::file::FileStore;
use super::sealed::Envelope;
use crate::backoff::Backoff;
use crate::{Result, is_provider_name};

/// How the record of a provider is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageFormat {
    /// As plain text, or as something that is no record.
    Plain,
    /// Sealed in this way.
    Sealed(String),
}

/// What came of [`FileStore::migrate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Migrated {
    /// It is kept in the configured way now.
    Moved,
    /// It was so before.
    Already,
    /// There is no record.
    Nothing,
    /// It cannot be read, and is left as it is: why.
    Unreadable(String),
}

impl FileStore {
    /// The providers that have a record here or in the second place, whether they are configured or not.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let files = self.files().into_iter();
        let mut names: Vec<_> =
            files.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
        names.extend(self.place.second.names());
        names.retain(|name| is_provider_name(name));
        names.sort();
        names.dedup();
        names
    }

    /// How a provider's record is kept; `None` if there is none. Nothing is opened for that.
    pub fn kept(&self, provider: &str) -> Result<Option<StorageFormat>> {
        let second = self.place.second.files(provider).collect::<Vec<_>>();
        for path in second.iter().chain([&self.record_path(provider)]) {
            if let Some(bytes) = read_bytes(path)? {
                let envelope = Envelope::read(&bytes);
                return Ok(Some(
                    envelope.map_or(StorageFormat::Plain, |envelope| StorageFormat::Sealed(envelope.with)),
                ));
            }
        }
        Ok(None)
    }

    /// Writes a provider's record in the configured way, under its lock and as one atomic step: whatever ends it,
    /// the record is there in the old way or in the new. Who has the lock is waited for, up to `limit`; `tell` is
    /// told who, if that takes long. It needs a tokio runtime with time.
    pub async fn migrate(
        &self,
        provider: &str,
        limit: Duration,
        tell: impl Fn(&str) + Send,
    ) -> Result<Migrated> {
        let mut waiting = Backoff::up_to(limit);
        loop {
            let holder = match self.lock(provider)? {
                Ok(mut locked) => return locked.migrate().await,
                Err(holder) => holder.unwrap_or_else(|| "another process".to_owned()),
            };
            let (pause, is_long) = waiting.next(&holder)?;
            tokio::time::sleep(pause).await;
            if is_long {
                tell(&format!("waiting for {holder}, which renews {provider} or logs in"));
            }
        }
    }

    /// Does `work` while nobody else changes a record here; `None`, and nothing is done, if somebody does.
    pub fn while_idle<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let locks = self.files().into_iter().filter_map(|name| name.strip_suffix(".lock").map(str::to_owned));
        let mut held = Vec::new();
        for provider in locks.filter(|name| is_provider_name(name)) {
            match self.lock(&provider)? {
                Ok(locked) => held.push(locked),
                Err(_) => return Ok(None),
            }
        }
        work().map(Some)
    }

    /// The records that were set aside in this folder and may be plain text: what could not be read was not sealed.
    #[must_use]
    pub fn plain_quarantined(&self) -> Vec<PathBuf> {
        let mut asides: Vec<_> =
            self.files().into_iter().filter(|name| name.contains(".json.aside-")).collect();
        asides.sort();
        let paths = asides.into_iter().map(|name| self.place.folder.join(name));
        paths.filter(|path| Envelope::of_file(path).is_none()).collect()
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.place.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}
