//! Stores a provider's grant in the login file of the service's own tools, and the other data in a record file.

mod content;
mod join;
mod locked;

use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::provider::{LoginFile, Provider};
use crate::store::file::bytes::is_missing;
use crate::store::file::{Attempt, LockedFile, lock};
use crate::store::{Loaded, Locking, Store, StoreAbout};
use content::{FileContent, Found};
use join::Join;
use locked::LockedExternalLogin;

/// The name of the lock file, which is in the login file's folder. Only brokers use this lock.
const LOCK: &str = ".broker.lock";

/// A provider's records, combined with the provider's login file.
pub(crate) struct ExternalLoginStore {
    records: Arc<dyn Store>,
    join: Join,
}

impl ExternalLoginStore {
    pub(crate) fn of(
        records: Arc<dyn Store>,
        provider: Arc<dyn Provider>,
        file: Arc<dyn LoginFile>,
        context: Context,
    ) -> Arc<dyn Store> {
        Arc::new(Self { records, join: Join { provider, file, context } })
    }

    fn joined(&self, provider: &str, record: Loaded) -> Result<Loaded> {
        let found = FileContent::read(&*self.join.file).found;
        let joined = self.join.join(provider, record, &found);
        match found {
            // A stored token is used as long as it is valid.
            Found::Fault(error) if !self.join.has_valid_token(&joined) => Err(error),
            _ => Ok(joined),
        }
    }
}

#[async_trait]
impl Store for ExternalLoginStore {
    // A save writes the login file before the record. Reading in the opposite order never misses the newest login.
    fn read(&self, provider: &str) -> Result<Loaded> {
        self.joined(provider, self.records.read(provider)?)
    }

    fn peek(&self, provider: &str) -> Result<Option<Loaded>> {
        self.records.peek(provider)?.map(|record| self.joined(provider, record)).transpose()
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        let records = match self.records.try_lock(provider).await? {
            Locking::Taken(records) => records,
            busy @ Locking::Busy(_) => return Ok(busy),
        };
        let path = self.join.file.path();
        let folder = path.parent().unwrap_or(path);
        // Brokers with different state folders may share the login file, so the login file has its own lock.
        let has_folder = !is_missing(folder);
        let attempt = has_folder.then(|| lock(&folder.join(LOCK))).transpose().map_err(hinted)?;
        let (locks, opened) = match attempt {
            Some(Attempt::Busy(holder)) => return Ok(Locking::Busy(holder)),
            Some(Attempt::Taken(lock)) => (vec![lock.file], Some(lock.folder)),
            Some(Attempt::Unsupported) | None => (Vec::new(), None),
        };
        let prefix = format!(".{}.", path.file_name().unwrap_or_default().display());
        let login_file = LockedFile::new(path.to_owned(), prefix, locks, opened);
        let locked = LockedExternalLogin::new(records, login_file, self.join.clone(), provider);
        Ok(Locking::Taken(Box::new(locked)))
    }

    fn about(&self) -> StoreAbout {
        self.records.about()
    }
}

/// Replaces the hint to choose another state folder, because the login file is not in the state folder.
fn hinted(error: Error) -> Error {
    error.with_hint(
        "to store this login separately from the service's own tools, set `share = false` for the provider",
    )
}
