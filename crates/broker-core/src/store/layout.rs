//! The files and folders of a store.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::fallback::FallbackStore;
use super::filesystem::Filesystem;
use super::read::{Found, read};
use super::sealed::Sealer;
use crate::{Loaded, Result};

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

    /// Returns the stored record, or the fallback record if that is newer.
    pub(super) fn newest(&self, provider: &str) -> Result<Found> {
        let own = read(&self.record_path(provider), provider, self.sealer());
        match (own, self.fallback.read(provider, self.sealer())?) {
            (own, None) => own,
            (Ok(Found { loaded: Loaded::Record(own), sealed_with }), Some((other, _)))
                if own.age() > other.age() =>
            {
                Ok(Found { loaded: Loaded::Record(own), sealed_with })
            }
            (_, Some((other, sealed_with))) => Ok(Found { loaded: Loaded::FromFallback(other), sealed_with }),
        }
    }
}
