//! Replaces a record file while this process has the record's lock.

use std::fs::File;
use std::path::PathBuf;

use async_trait::async_trait;

use super::FileStore;
use super::locked_file::{LockedFile, private};
use crate::context::platform::Folder;
use crate::error::Result;
use crate::record::Record;
use crate::store::{Loaded, Locked, blocking, read};

/// A record file that this process has locked.
pub(crate) struct LockedRecord {
    store: FileStore,
    provider: String,
    file: LockedFile,
    /// Whether the record file was unreadable. The next save moves such a file to quarantine.
    unreadable: bool,
}

impl LockedRecord {
    pub(super) fn new(store: FileStore, provider: &str, locks: Vec<File>, folder: Option<Folder>) -> Self {
        let file = LockedFile::new(store.record_path(provider), format!(".{provider}."), locks, folder);
        Self { store, provider: provider.to_owned(), file, unreadable: false }
    }

    /// Reserves disk space for `saves` saves. Unlike [`Locked::probe`], does not check the key.
    pub(crate) fn reserve(&mut self, saves: usize) -> Result<()> {
        self.file.probe(saves)
    }

    /// Copies an unreadable record file to quarantine, before a save or a logout.
    pub(crate) fn quarantine(&self) -> Result<Option<PathBuf>> {
        if self.unreadable { self.file.quarantine() } else { Ok(None) }
    }
}

#[async_trait]
impl Locked for LockedRecord {
    async fn load(&mut self) -> Result<Loaded> {
        let loaded = read(&self.store, &self.provider).await?;
        self.unreadable = matches!(loaded, Loaded::Unreadable(_));
        Ok(loaded)
    }

    async fn probe(&mut self, record: &Record, saves: usize) -> Result<()> {
        if let Some(probe) = self.store.sealing().probe(record, &self.provider) {
            blocking(probe).await?;
        }
        self.reserve(saves)
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        // Without any `await`: only this process has the new refresh token.
        let bytes = self.store.sealing().encode(record, &self.provider)?;
        self.reserve(1)?;
        let quarantined = self.quarantine()?;
        self.file.replace(&bytes)?;
        self.unreadable = false;
        Ok(quarantined.as_deref().map(private))
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        let quarantined = self.quarantine()?;
        self.file.remove()?;
        self.unreadable = false;
        Ok(quarantined.as_deref().map(private))
    }
}
