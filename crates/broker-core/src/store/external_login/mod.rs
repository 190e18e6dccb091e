//! Stores a provider's grant in the login file of the service's own tools, and the other data in a record file.

mod content;
mod locked;

use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::provider::{LoginFile, Provider};
use crate::record::Record;
use crate::store::file::bytes::is_missing;
use crate::store::file::{Attempt, LockedFile, lock};
use crate::store::{Loaded, Locking, Store, StoreAbout};
use crate::token::Phase;
use content::{FileContent, Found};
use locked::LockedExternalLogin;

/// The name of the lock file, which is in the login file's folder. Only brokers use this lock.
const LOCK: &str = ".broker.lock";

/// A provider's records, combined with the provider's login file.
#[derive(Clone)]
pub(crate) struct ExternalLoginStore {
    pub(crate) records: Arc<dyn Store>,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) file: Arc<dyn LoginFile>,
    pub(crate) context: Context,
}

impl ExternalLoginStore {
    fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    /// Whether the login file may contain a login of another issuer, or content that is not a login.
    fn is_foreign(&self, found: &Found, record: &Record) -> bool {
        match found {
            Found::Nothing | Found::NoFolder => false,
            Found::Other { .. } | Found::Fault(_) => true,
            Found::Login(login) => login.unproven.is_some() && !record.vouches_for(&self.path(), login),
        }
    }

    fn has_valid_token(&self, loaded: &Loaded) -> bool {
        let (Loaded::Record(record) | Loaded::FromFallback(record)) = loaded else { return false };
        let now = self.context.now();
        record.tokens().any(|(_, token)| token.window().phase(now) != Phase::Expired)
    }

    /// Combines a loaded record with the login from the login file.
    fn join(&self, provider: &str, loaded: Loaded, found: &Found) -> Loaded {
        let now = self.context.now();
        let (issuer, account) = (&self.provider.info().issuer, self.provider.info().account.as_deref());
        let empty = || Box::new(Record::new(provider, issuer.clone()));
        let (mut record, in_fallback) = match (loaded, found) {
            (loaded @ (Loaded::Nothing | Loaded::Unreadable(_)), Found::Nothing | Found::NoFolder) => {
                return loaded;
            }
            (Loaded::Nothing | Loaded::Unreadable(_), _) => (empty(), false),
            (Loaded::Record(record), _) => (record, false),
            (Loaded::FromFallback(record), _) => (record, true),
        };
        *record = record.of_issuer(issuer, account, now);
        let path = self.path();
        match found {
            Found::NoFolder if record.is_external() => {
                record.set_file_unusable(&path, "cannot be read: the login file's folder does not exist");
            }
            Found::Nothing | Found::NoFolder => record.join(&path, None, now),
            Found::Fault(error) => {
                record.set_file_unusable(&path, &format!("cannot be read: {}", error.message()));
            }
            Found::Other { why, .. } => record.set_file_unusable(&path, why),
            Found::Login(login) => match &login.unproven {
                Some(why) if !record.vouches_for(&path, login) => record.set_file_unusable(&path, why),
                _ => record.join(&path, Some(login.clone()), now),
            },
        }
        if in_fallback { Loaded::FromFallback(record) } else { Loaded::Record(record) }
    }
}

#[async_trait]
impl Store for ExternalLoginStore {
    // A save writes the login file before the record. Reading in the opposite order never misses the newest login.
    fn read(&self, provider: &str, may_wait: bool) -> Result<Option<Loaded>> {
        let Some(record) = self.records.read(provider, may_wait)? else { return Ok(None) };
        let found = FileContent::read(&*self.file).found;
        let joined = self.join(provider, record, &found);
        match found {
            // A stored token is used as long as it is valid.
            Found::Fault(error) if !self.has_valid_token(&joined) => Err(error),
            _ => Ok(Some(joined)),
        }
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        let records = match self.records.try_lock(provider).await? {
            Locking::Taken(records) => records,
            busy @ Locking::Busy(_) => return Ok(busy),
        };
        let path = self.file.path();
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
        let locked = LockedExternalLogin::new(records, login_file, self.clone(), provider);
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
