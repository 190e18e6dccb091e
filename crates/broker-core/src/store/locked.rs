//! A record file under its lock: how it is replaced.

use std::fs::File;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::place::Place;
use super::read::read;
use super::replaced::Replaced;
use crate::{Error, Loaded, Locked, Record, Result, wiped};

/// A record under its lock.
pub(super) struct LockedFile {
    /// Unlocked when closed.
    _locks: Vec<File>,
    place: Place,
    file: Replaced,
    provider: String,
    /// Whether what is there could not be read: looked at before an exchange, not between its answer and the save.
    unreadable: bool,
}

impl LockedFile {
    /// The record of `provider`, while `locks` are held.
    pub(super) fn new(place: Place, provider: &str, locks: Vec<File>) -> Self {
        let file = Replaced::new(&place.folder, provider, ".json", place.filesystem().shared);
        Self { _locks: locks, place, file, provider: provider.to_owned(), unreadable: false }
    }

    /// Keeps what cannot be read under a name of its own.
    fn set_aside_unreadable(&mut self) -> Result<Option<String>> {
        if !std::mem::take(&mut self.unreadable) {
            return Ok(None);
        }
        self.file.set_aside().inspect_err(|_| self.unreadable = true)
    }
}

#[async_trait]
impl Locked for LockedFile {
    async fn load(&mut self) -> Result<Loaded> {
        let loaded = self.place.newest(&self.provider)?;
        self.unreadable = match &loaded {
            Loaded::Nothing | Loaded::Record(_) => false,
            Loaded::Unreadable(_) => true,
            Loaded::Rescued(_) => matches!(read(self.file.path(), &self.provider), Ok(Loaded::Unreadable(_))),
        };
        Ok(loaded)
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        self.file.probe(saves)
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let bytes = bytes(record)?;
        self.probe(1).await?;
        let aside = self.set_aside_unreadable()?;
        self.file.replace(&bytes)?;
        if let Err(error) = self.place.second.clear(&self.provider) {
            tracing::warn!(%error, "an older record stays in the second place");
        }
        Ok(aside)
    }

    async fn rescue(&mut self, record: &Record) -> Result<String> {
        let saved = self.place.second.save(&self.provider, &bytes(record)?);
        let path = saved
            .map_err(|error| Error::failed(format!("nor in a second place: {error}")).with_source(error))?;
        Ok(path.display().to_string())
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        let aside = self.set_aside_unreadable()?;
        self.place.second.clear(&self.provider).map_err(|error| {
            Error::failed(format!("what is kept in the second place cannot be removed: {error}"))
                .with_source(error)
        })?;
        self.file.remove().map(|()| aside)
    }
}

fn bytes(record: &Record) -> Result<Zeroizing<Vec<u8>>> {
    wiped::json(record, true)
        .map_err(|error| Error::failed("the record cannot be written as JSON").with_source(error))
}
