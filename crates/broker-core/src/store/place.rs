//! Where the files of a store are.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::filesystem::Filesystem;
use super::read::read;
use super::second_place::SecondPlace;
use crate::{Loaded, Result};

/// The folder of a store, and what is beside it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) second: SecondPlace,
    filesystem: Arc<OnceLock<Filesystem>>,
}

impl Place {
    pub(super) fn new(folder: PathBuf, second: SecondPlace) -> Self {
        Self { folder, second, filesystem: Arc::default() }
    }

    pub(super) fn record_path(&self, provider: &str) -> PathBuf {
        self.folder.join(format!("{provider}.json"))
    }

    pub(super) fn filesystem(&self) -> &Filesystem {
        self.filesystem.get_or_init(|| Filesystem::of(&self.folder))
    }

    /// The record, or what was saved in the second place since.
    pub(super) fn newest(&self, provider: &str) -> Result<Loaded> {
        let own = read(&self.record_path(provider), provider);
        match (own, self.second.read(provider)) {
            (own, None) => own,
            (Ok(Loaded::Record(own)), Some(other)) if own.age() > other.age() => Ok(Loaded::Record(own)),
            (_, Some(other)) => Ok(Loaded::Rescued(Box::new(other))),
        }
    }
}
