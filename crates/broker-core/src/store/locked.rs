//! A record file under its lock: how it is replaced.

use std::fs::File;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::atomic_file::AtomicFile;
use super::layout::StoreLayout;
use super::read::read;
use super::sealed::cannot_seal;
use crate::{Error, Loaded, Locked, Migrated, Record, Result, zeroizing};

/// A record under its lock.
pub(super) struct LockedFile {
    /// Unlocked when closed.
    _locks: Vec<File>,
    place: StoreLayout,
    file: AtomicFile,
    provider: String,
    /// Whether what is there could not be read: looked at before an exchange, not between its answer and the save.
    unreadable: bool,
    /// In which way the record is sealed, and stays so until a new login.
    with: Option<String>,
}

impl LockedFile {
    /// The record of `provider`, while `locks` are held.
    pub(super) fn new(place: StoreLayout, provider: &str, locks: Vec<File>) -> Self {
        let file = AtomicFile::new(&place.folder, provider, ".json", place.filesystem().shared);
        let mut locked =
            Self { _locks: locks, place, file, provider: provider.to_owned(), unreadable: false, with: None };
        locked.with = locked.configured();
        locked
    }

    /// In which way a new record is sealed.
    fn configured(&self) -> Option<String> {
        self.place.sealer()?.configured().map(str::to_owned)
    }

    /// Makes sure that a record can be sealed this way.
    fn probe_seal(&self, with: Option<&str>) -> Result<()> {
        match (with, self.place.sealer()) {
            (Some(with), Some(sealer)) => sealer.probe(with, &self.provider),
            _ => Ok(()),
        }
    }

    /// What goes to the disk: the record, sealed if it is to be.
    fn bytes(&self, record: &Record, with: Option<&str>) -> Result<Zeroizing<Vec<u8>>> {
        let plain = zeroizing::json(record, true)
            .map_err(|error| Error::failed("the record cannot be written as JSON").with_source(error))?;
        match (with, self.place.sealer()) {
            (None, _) => Ok(plain),
            (Some(with), Some(sealer)) => sealer.seal(with, &self.provider, &plain)?.bytes(),
            (Some(with), None) => Err(cannot_seal(with)),
        }
    }

    /// In which way this record is to be sealed: who logs in anew gets the configured one.
    fn way(&self, record: &Record) -> Option<String> {
        if record.is_new_login() { self.configured() } else { self.with.clone() }
    }

    /// Writes the record as it is in the configured way.
    pub(super) async fn migrate(&mut self) -> Result<Migrated> {
        let (record, rescued) = match self.load().await? {
            Loaded::Nothing => return Ok(Migrated::Nothing),
            Loaded::Unreadable(why) => return Ok(Migrated::Unreadable(why)),
            Loaded::Record(record) => (record, false),
            Loaded::FromFallback(record) => (record, true),
        };
        let configured = self.configured();
        if self.with == configured && !rescued {
            // An older copy of it may be kept there in the old way.
            self.clear_second()?;
            return Ok(Migrated::Already);
        }
        self.with = configured;
        self.probe(1).await?;
        self.save(&record).await?;
        Ok(Migrated::Moved)
    }

    fn clear_second(&self) -> Result<()> {
        self.place.second.clear(&self.provider, self.place.sealer()).map_err(|error| {
            Error::failed(format!("what is kept in the second place cannot be removed: {error}"))
                .with_source(error)
        })
    }

    /// Keeps what cannot be read under a name of its own.
    fn quarantine_unreadable(&mut self) -> Result<Option<String>> {
        if !std::mem::take(&mut self.unreadable) {
            return Ok(None);
        }
        self.file.quarantine().inspect_err(|_| self.unreadable = true)
    }
}

#[async_trait]
impl Locked for LockedFile {
    async fn load(&mut self) -> Result<Loaded> {
        let found = self.place.newest(&self.provider)?;
        self.unreadable = match &found.loaded {
            Loaded::Nothing | Loaded::Record(_) => false,
            Loaded::Unreadable(_) => true,
            Loaded::FromFallback(_) => {
                let own = read(self.file.path(), &self.provider, self.place.sealer());
                own.is_ok_and(|own| matches!(own.loaded, Loaded::Unreadable(_)))
            }
        };
        self.with = match &found.loaded {
            Loaded::Nothing | Loaded::Unreadable(_) => self.configured(),
            Loaded::Record(_) | Loaded::FromFallback(_) => found.with,
        };
        Ok(found.loaded)
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        self.probe_seal(self.with.as_deref())?;
        self.file.probe(saves)
    }

    async fn probe_login(&mut self) -> Result<()> {
        self.probe_seal(self.configured().as_deref())?;
        self.file.probe(1)
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let with = self.way(record);
        let bytes = self.bytes(record, with.as_deref())?;
        self.file.probe(1)?;
        let aside = self.quarantine_unreadable()?;
        self.file.replace(&bytes)?;
        self.with = with;
        if let Err(error) = self.place.second.clear(&self.provider, self.place.sealer()) {
            tracing::warn!(%error, "an older record stays in the second place");
        }
        Ok(aside)
    }

    async fn save_to_fallback(&mut self, record: &Record) -> Result<String> {
        let bytes = self.bytes(record, self.way(record).as_deref())?;
        let saved = self.place.second.save(&self.provider, &bytes);
        let path = saved
            .map_err(|error| Error::failed(format!("nor in a second place: {error}")).with_source(error))?;
        Ok(path.display().to_string())
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        let aside = self.quarantine_unreadable()?;
        self.clear_second()?;
        self.file.remove().map(|()| aside)
    }
}
