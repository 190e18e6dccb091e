//! Where the files of a store are.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::fallback::FallbackStore;
use super::filesystem::Filesystem;
use super::read::{Found, read};
use super::sealed::Sealer;
use crate::{Loaded, Result};

/// The folder of a store, and what is beside it.
#[derive(Debug, Clone)]
pub(super) struct StoreLayout {
    pub(super) folder: PathBuf,
    pub(super) second: FallbackStore,
    pub(super) sealer: Option<Arc<dyn Sealer>>,
    filesystem: Arc<OnceLock<Filesystem>>,
}

impl StoreLayout {
    pub(super) fn new(folder: PathBuf, second: FallbackStore) -> Self {
        Self { folder, second, sealer: None, filesystem: Arc::default() }
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

    /// The record, or what was saved in the second place since.
    pub(super) fn newest(&self, provider: &str) -> Result<Found> {
        let own = read(&self.record_path(provider), provider, self.sealer());
        match (own, self.second.read(provider, self.sealer())?) {
            (own, None) => own,
            (Ok(Found { loaded: Loaded::Record(own), with }), Some((other, _)))
                if own.age() > other.age() =>
            {
                Ok(Found { loaded: Loaded::Record(own), with })
            }
            (_, Some((other, with))) => Ok(Found { loaded: Loaded::FromFallback(other), with }),
        }
    }
}
