//! The files and folders of a store.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::bytes::is_missing;
use super::fallback::FallbackStore;
use super::filesystem::Filesystem;
use super::read::{Found, read};
use super::sealed::Sealer;
use crate::error::Result;
use crate::store::Loaded;

#[derive(Debug, Clone)]
pub(super) struct StoreLayout {
    pub(super) folder: PathBuf,
    pub(super) fallback: FallbackStore,
    pub(super) sealer: Option<Arc<dyn Sealer>>,
    filesystem: Arc<OnceLock<Filesystem>>,
}

impl StoreLayout {
    pub(super) fn new(folder: PathBuf, fallback: FallbackStore) -> Self {
        Self { folder, fallback, sealer: None, filesystem: Arc::default() }
    }

    pub(super) fn record_path(&self, provider: &str) -> PathBuf {
        self.folder.join(format!("{provider}.json"))
    }

    pub(super) fn filesystem(&self) -> &Filesystem {
        self.filesystem.get_or_init(|| Filesystem::of(&self.folder))
    }

    pub(super) fn sealer(&self) -> Option<&dyn Sealer> {
        self.sealer.as_deref()
    }

    /// Returns the configured encryption method of records; `None` if records are stored as plain text.
    pub(super) fn configured(&self) -> Option<String> {
        self.sealer()?.configured().map(str::to_owned)
    }

    /// Returns the record from the state folder, or a newer copy from the user's runtime folder. A copy of a record that
    /// was removed, such as by a logout, is never newer than the record that was created later.
    pub(super) fn newest(&self, provider: &str) -> Result<Found> {
        let path = self.record_path(provider);
        let own = read(&path, provider, self.sealer());
        // The record may be newer than the fallback file, such as one that is encrypted with a missing key.
        if own.is_err() && !is_missing(&path) {
            return own;
        }
        let own_record = match &own {
            Ok(Found { loaded: Loaded::Record(record), .. }) => Some(record.as_ref()),
            _ => None,
        };
        let newest = self.fallback.read(provider, self.sealer(), own_record)?;
        let Some((other, sealed_with)) = newest else { return own };
        match own_record {
            Some(record) if record.age() > other.age() => own,
            _ => Ok(Found { loaded: Loaded::FromFallback(other), sealed_with }),
        }
    }
}
