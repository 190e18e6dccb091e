//! Replaces a record file while this process has the record's lock.

use std::fs::File;
use std::path::PathBuf;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::atomic_file::{AtomicFile, private};
use super::layout::StoreLayout;
use super::read::{parse, read};
use super::sealed::{no_sealer, not_json};
use crate::context::platform::Folder;
use crate::error::{Error, ErrorCode, Result};
use crate::record::Record;
use crate::store::{Loaded, Locked, Migrated};

/// A record file that this process has locked.
pub(super) struct LockedFile {
    /// The open lock files. Closing these files releases the locks.
    _locks: Vec<File>,
    layout: StoreLayout,
    file: AtomicFile,
    provider: String,
    /// Whether the record file was unreadable. The next save moves such a file to quarantine.
    unreadable: bool,
    /// The encryption method of the locked record. Only a new login changes the method.
    sealed_with: Option<String>,
}

impl LockedFile {
    pub(super) fn new(
        mut layout: StoreLayout,
        provider: &str,
        locks: Vec<File>,
        folder: Option<Folder>,
    ) -> Self {
        layout.fallback = layout.fallback.of_locked_store();
        let is_network = layout.filesystem().is_network;
        let path = layout.record_path(provider);
        let file = AtomicFile::new(path, format!(".{provider}."), is_network, folder);
        let (provider, sealed_with) = (provider.to_owned(), layout.configured());
        Self { _locks: locks, layout, file, provider, unreadable: false, sealed_with }
    }

    fn probe_seal(&self, with: Option<&str>) -> Result<()> {
        match (with, self.layout.sealer()) {
            (Some(with), Some(sealer)) => sealer.probe(with, &self.provider),
            _ => Ok(()),
        }
    }

    /// Returns the content of the record file, encrypted unless `with` is `None`. Fails if the content cannot be read
    /// again, such as metadata that is nested too deeply.
    fn bytes(&self, record: &Record, with: Option<&str>) -> Result<Zeroizing<Vec<u8>>> {
        let plain = record.to_json().map_err(not_json)?;
        parse(&plain, &self.provider).map_err(|why| {
            let message = format!("cannot save the record, because it could not be read again: it {why}");
            Error::new(ErrorCode::StoreUnwritable, message)
                .with_hint("the service or plugin returned data that is too long, or nested too deeply")
        })?;
        match (with, self.layout.sealer()) {
            (None, _) => Ok(plain),
            (Some(with), Some(sealer)) => sealer.seal(with, &self.provider, &plain)?.bytes(),
            (Some(with), None) => Err(no_sealer(with)),
        }
    }

    /// Returns the encryption method for a save: the configured method for a new login, otherwise the record's method.
    fn seal_for(&self, record: &Record) -> Option<String> {
        if record.new_login { self.layout.configured() } else { self.sealed_with.clone() }
    }

    pub(super) async fn migrate(&mut self) -> Result<Migrated> {
        let (record, in_fallback) = match self.load().await? {
            Loaded::Nothing => return Ok(Migrated::Nothing),
            Loaded::Unreadable(why) => return Ok(Migrated::Unreadable(why)),
            Loaded::Record(record) => (record, false),
            Loaded::FromFallback(record) => (record, true),
        };
        let configured = self.layout.configured();
        if self.sealed_with == configured && !in_fallback {
            // The runtime folder may contain an older copy of this record in the previous storage format.
            self.clear_fallback()?;
            return Ok(Migrated::Already);
        }
        self.sealed_with = configured;
        self.probe(1).await?;
        self.save(&record).await?;
        Ok(Migrated::Moved)
    }

    fn clear_fallback(&self) -> Result<()> {
        self.layout.fallback.clear(&self.provider, self.layout.sealer())
    }

    /// Copies an unreadable record file to quarantine, before a save or a logout.
    fn quarantine_unreadable(&self) -> Result<Option<PathBuf>> {
        if self.unreadable { self.file.quarantine() } else { Ok(None) }
    }
}

#[async_trait]
impl Locked for LockedFile {
    async fn load(&mut self) -> Result<Loaded> {
        let found = self.layout.newest(&self.provider)?;
        self.unreadable = match &found.loaded {
            Loaded::Nothing | Loaded::Record(_) => false,
            Loaded::Unreadable(_) => true,
            Loaded::FromFallback(_) => {
                let own = read(self.file.path(), &self.provider, self.layout.sealer());
                own.is_ok_and(|own| matches!(own.loaded, Loaded::Unreadable(_)))
            }
        };
        self.sealed_with = match &found.loaded {
            Loaded::Nothing | Loaded::Unreadable(_) => self.layout.configured(),
            Loaded::Record(_) | Loaded::FromFallback(_) => found.sealed_with,
        };
        Ok(found.loaded)
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        self.probe_seal(self.sealed_with.as_deref())?;
        self.file.probe(saves)
    }

    async fn probe_login(&mut self) -> Result<()> {
        self.probe_seal(self.layout.configured().as_deref())?;
        self.file.probe(1)
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let with = self.seal_for(record);
        let bytes = self.bytes(record, with.as_deref())?;
        self.file.probe(1)?;
        let quarantined = self.quarantine_unreadable()?;
        self.file.replace(&bytes)?;
        self.unreadable = false;
        self.sealed_with = with;
        if let Err(error) = self.layout.fallback.clear(&self.provider, self.layout.sealer()) {
            tracing::warn!(%error, "cannot remove an older copy of the record from the runtime folder");
        }
        Ok(quarantined.as_deref().map(private))
    }

    async fn save_to_fallback(&mut self, record: &Record) -> Result<String> {
        let bytes = self.bytes(record, self.seal_for(record).as_deref())?;
        let saved = self.layout.fallback.save(&self.provider, &bytes);
        saved.map(|path| path.display().to_string()).map_err(|error| {
            let message = format!("cannot save the record in the runtime folder: {error}");
            Error::new(ErrorCode::StoreUnwritable, message).with_source(error)
        })
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        let quarantined = self.quarantine_unreadable()?;
        self.clear_fallback()?;
        self.file.remove()?;
        self.unreadable = false;
        Ok(quarantined.as_deref().map(private))
    }
}
