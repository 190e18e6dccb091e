//! Saves a record and the login file while this process has the locks of both.

use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::content::{FileContent, Found, unreadable};
use super::{ExternalLoginStore, hinted};
use crate::context::LoginCheck;
use crate::context::platform;
use crate::error::Result;
use crate::record::{FileLogin, Record};
use crate::store::file::bytes::{cannot_write, read_bytes};
use crate::store::file::{LockedFile, private};
use crate::store::{Loaded, Locked};
use crate::token::{Secret, sanitize};

/// A locked record and the locked login file.
pub(super) struct LockedExternalLogin {
    records: Box<dyn Locked>,
    login_file: LockedFile,
    store: ExternalLoginStore,
    provider: String,
    /// The login file's content when this process last read or wrote the file.
    content: FileContent,
    /// The refresh token that the login file contained when this process last read or wrote the file.
    known: Option<Secret>,
    /// The content of the login file that belongs to the loaded or saved record; `None` if the content was unusable.
    loaded: Option<UsedContent>,
}

/// The content of a login file; `None` if the file did not exist.
#[derive(Clone, PartialEq)]
struct UsedContent(Option<Zeroizing<Vec<u8>>>);

#[async_trait]
impl Locked for LockedExternalLogin {
    async fn load(&mut self) -> Result<Loaded> {
        self.content = FileContent::read_complete(&*self.store.file, self.store.context.clock()).await;
        self.content.check()?;
        let is_usable = !matches!(self.content.found, Found::Other { .. });
        self.loaded = is_usable.then(|| UsedContent(self.content.bytes.clone()));
        let loaded = self.store.join(&self.provider, self.records.load().await?, &self.content.found);
        let is_foreign = match &loaded {
            Loaded::Record(record) | Loaded::FromFallback(record) => {
                self.store.is_foreign(&self.content.found, record)
            }
            Loaded::Nothing | Loaded::Unreadable(_) => false,
        };
        self.known = self.content.grant().filter(|_| !is_foreign).cloned();
        Ok(loaded)
    }

    async fn probe(&mut self, record: &Record, saves: usize) -> Result<()> {
        self.records.probe(record, saves).await?;
        self.probe_file(saves).map_err(hinted)
    }

    fn login_check(&self) -> Option<LoginCheck> {
        let (file, loaded) = (self.store.file.clone(), self.loaded.clone()?);
        // Compares the content, because size and times can be equal after a change.
        Some(Arc::new(move || Ok(UsedContent(read_bytes(file.path()).map_err(unreadable)?) == loaded)))
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        // Reads the login file again only if another program has changed the file since the last read.
        if self.content.is_outdated(&*self.store.file) {
            self.read_file();
        }
        let login = record.file_login();
        if login.is_empty() {
            return self.records.save(&record.with_login_in_record()).await;
        }
        if !record.0.new_login {
            // Saves only the record if the file may contain another issuer's login.
            if self.store.is_foreign(&self.content.found, record) {
                return self.records.save(record).await;
            }
            if self.is_theirs() {
                tracing::info!("the login file is not overwritten: the service's own tools have changed it");
                return self.save_record(record).await;
            }
            if !record.is_external() && record.usable_grant().is_none() {
                return self.records.save(record).await;
            }
        }
        self.put(record, login).await
    }

    async fn save_to_fallback(&mut self, record: &Record) -> Result<String> {
        self.records.save_to_fallback(record).await
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        self.read_file();
        self.content.check()?;
        let kept = match &self.content.found {
            Found::Other { why, .. } => Some(why.clone()),
            _ if self.is_theirs() => Some("contains another login".to_owned()),
            _ => None,
        };
        match kept {
            Some(why) => {
                let (provider, path) = (&self.provider, sanitize(&self.store.path()));
                let message = format!("{provider}: {path} {why}; the file was not changed");
                self.store.context.prompt().notify(&message);
            }
            None => self.remove_login()?,
        }
        self.records.forget().await
    }
}

impl LockedExternalLogin {
    pub(super) fn new(
        records: Box<dyn Locked>,
        login_file: LockedFile,
        store: ExternalLoginStore,
        provider: &str,
    ) -> Self {
        let (provider, content) = (provider.to_owned(), FileContent::empty());
        Self { records, login_file, store, provider, content, known: None, loaded: None }
    }

    fn read_file(&mut self) {
        self.content = FileContent::read(&*self.store.file);
    }

    /// Creates the login file's folder, and reserves disk space for `saves` saves.
    fn probe_file(&mut self, saves: usize) -> Result<()> {
        if let Some(folder) = self.store.file.path().parent() {
            platform::make_folder(folder)
                .map_err(|error| cannot_write("create the folder", folder, error))?;
        }
        self.login_file.probe(saves)
    }

    /// Whether another program has logged in or out since this process last used the login file.
    fn is_theirs(&self) -> bool {
        match (&self.known, self.content.grant()) {
            (known, Some(stored)) => known.as_ref().is_none_or(|known| !known.same_as(stored)),
            (known, None) => known.is_some() && matches!(self.content.found, Found::Nothing),
        }
    }

    /// Writes the login to the login file, and then the other data to the record file.
    async fn put(&mut self, record: &Record, login: FileLogin) -> Result<Option<String>> {
        // Renames the file instead of overwriting another issuer's login, or a login that the broker never used.
        let found = &self.content.found;
        let displaces = self.store.is_foreign(found, record)
            || if record.0.new_login {
                matches!(found, Found::Login(login) if login.of_another && !record.vouches_for(&self.store.path(), login))
            } else {
                !record.is_external() && self.content.grant().is_some()
            };
        // A refresh intent does not change the login. Writing the file anyway could undo a change of another program.
        if !displaces
            && !record.0.new_login
            && matches!(found, Found::Login(stored) if stored.same_as(&login))
        {
            return self.save_record(record).await;
        }
        let before = self.content.bytes.as_ref().filter(|_| !displaces);
        let Some(bytes) = self.store.file.write(&login, before.map(|bytes| bytes.as_slice())) else {
            // The login file's format cannot store this login. A new login still removes the old login from the file.
            if record.0.new_login {
                self.remove_login()?;
                return self.records.save(&record.with_login_in_record()).await;
            }
            return self.save_record(record).await;
        };
        let mut quarantined = None;
        if self.content.bytes.as_ref() != Some(&bytes) {
            quarantined = if displaces { self.login_file.quarantine()? } else { None };
            if !self.replace_file(&bytes)? {
                self.read_file();
                return self.save(record).await;
            }
            self.known.clone_from(&login.refresh_token);
            self.loaded = Some(UsedContent(Some(bytes.clone())));
            self.content = FileContent::written(login, bytes);
        }
        Ok(quarantined.as_deref().map(private).or(self.save_record(record).await?))
    }

    /// Saves the record without the refresh token, because the login file contains the refresh token.
    async fn save_record(&mut self, record: &Record) -> Result<Option<String>> {
        let record = record.with_login_in_file(&self.store.path(), self.known.as_ref());
        self.records.save(&record).await
    }

    /// Removes the login from the login file, unless the login may be another issuer's.
    fn remove_login(&mut self) -> Result<()> {
        let (Found::Login(login), Some(bytes)) = (&self.content.found, &self.content.bytes) else {
            return Ok(());
        };
        if login.unproven.is_some() && self.known.is_none() {
            return Ok(());
        }
        match self.store.file.without_login(bytes) {
            Some(rest) => self.replace_file(&rest).map(drop),
            None => self.login_file.remove().map_err(hinted),
        }
    }

    /// Replaces the login file's content, or returns false if another program has just changed the file. Compares the
    /// content, because size and times can be equal after a change.
    fn replace_file(&mut self, bytes: &[u8]) -> Result<bool> {
        let (file, before) = (&self.store.file, &self.content.bytes);
        let is_current = || read_bytes(file.path()).ok().flatten() == *before;
        self.login_file.replace_if(bytes, is_current).map_err(hinted)
    }
}
