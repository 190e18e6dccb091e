//! Moving records to the configured way of keeping them, and which way each has.

use super::file::FileStore;
use super::read::read_bytes;
use super::sealed::Envelope;
use crate::{Result, is_provider_name};

/// How the record of a provider is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
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
    /// Somebody else has its lock: who, if that can be told.
    Busy(Option<String>),
}

impl FileStore {
    /// The providers that have a record here or in the second place, whether they are configured or not.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.place.folder).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> =
            files.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
        names.extend(self.place.second.names());
        names.retain(|name| is_provider_name(name));
        names.sort();
        names.dedup();
        names
    }

    /// How a provider's record is kept; `None` if there is none. Nothing is opened for that.
    pub fn kept(&self, provider: &str) -> Result<Option<Kept>> {
        let second = self.place.second.files(provider).collect::<Vec<_>>();
        for path in second.iter().chain([&self.record_path(provider)]) {
            if let Some(bytes) = read_bytes(path)? {
                let envelope = Envelope::read(&bytes);
                return Ok(Some(envelope.map_or(Kept::Plain, |envelope| Kept::Sealed(envelope.with))));
            }
        }
        Ok(None)
    }

    /// Writes a provider's record in the configured way, under its lock and as one atomic step: whatever ends it,
    /// the record is there in the old way or in the new. It does not wait for the lock.
    pub async fn migrate(&self, provider: &str) -> Result<Migrated> {
        match self.lock(provider)? {
            Ok(mut locked) => locked.migrate().await,
            Err(holder) => Ok(Migrated::Busy(holder)),
        }
    }
}
