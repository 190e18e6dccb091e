//! Stores a provider's grant in the login file of the service's own tools, and the other data in a record file.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::atomic_file::{AtomicFile, private};
use super::bytes::{cannot_write, is_missing, read_bytes};
use super::filesystem::Filesystem;
use super::lock::{Attempt, lock};
use crate::context::platform::{self, Version};
use crate::context::{Context, LoginCheck};
use crate::error::{Error, Result};
use crate::provider::{InvalidLoginFile, LoginFile, Provider};
use crate::record::{FileLogin, Record};
use crate::store::{Loaded, Locked, Locking, Store, StoreAbout};
use crate::token::{Phase, Secret, sanitize};

/// How often an incomplete login file is read again. Some tools overwrite their login file in place.
const REREADS: usize = 20;
const REREAD_PAUSE: Duration = Duration::from_millis(10);

/// A provider's records, combined with the provider's login file.
pub(crate) struct ExternalLoginStore {
    records: Arc<dyn Store>,
    join: Join,
}

/// Combines a provider's record with the content of the provider's login file.
#[derive(Clone)]
struct Join {
    provider: Arc<dyn Provider>,
    file: Arc<dyn LoginFile>,
    context: Context,
}

/// The parsed content of the login file.
enum Found {
    /// The login file is missing, or contains no login.
    Nothing,
    /// The login file's folder is missing. It may be on an unmounted disk, so this is no logout.
    NoFolder,
    /// The login file cannot be read, such as after a disk error. It may contain a login.
    Fault(Error),
    /// A login that the broker can use.
    Login(FileLogin),
    /// The content of another program's login file that the broker cannot use. `why` is the reason; `torn` means incomplete.
    Other { why: String, torn: bool },
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
}

#[async_trait]
impl Store for ExternalLoginStore {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        // A save writes the login file before the record. Reading in the opposite order never misses the newest login.
        let record = self.records.peek(provider)?;
        let found = self.join.read_file().found;
        let joined = self.join.join(provider, record, &found);
        match found {
            // A stored token is used as long as it is valid.
            Found::Fault(error) if !self.join.has_valid_token(&joined) => Err(error),
            _ => Ok(joined),
        }
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
        let (lock, opened) = match attempt {
            Some(Attempt::Busy(holder)) => return Ok(Locking::Busy(holder)),
            Some(Attempt::Taken(lock)) => (Some(lock.file), Some(lock.folder)),
            Some(Attempt::Unsupported) | None => (None, None),
        };
        let prefix = format!(".{}.", path.file_name().unwrap_or_default().display());
        let is_network = Filesystem::of(folder).is_network;
        Ok(Locking::Taken(Box::new(LockedExternalLogin {
            records,
            _lock: lock,
            login_file: AtomicFile::new(path.to_owned(), prefix, is_network, opened),
            join: self.join.clone(),
            provider: provider.to_owned(),
            content: FileContent { found: Found::Nothing, bytes: None, version: None },
            known: None,
            loaded: None,
        })))
    }

    fn about(&self) -> StoreAbout {
        self.records.about()
    }
}

/// The name of the lock file, which is in the login file's folder. Only brokers use this lock.
const LOCK: &str = ".broker.lock";

struct LockedExternalLogin {
    records: Box<dyn Locked>,
    _lock: Option<File>,
    login_file: AtomicFile,
    join: Join,
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

struct FileContent {
    found: Found,
    bytes: Option<Zeroizing<Vec<u8>>>,
    version: Option<Version>,
}

#[async_trait]
impl Locked for LockedExternalLogin {
    async fn load(&mut self) -> Result<Loaded> {
        self.content = self.join.read_file();
        for _ in 0..REREADS {
            if !matches!(self.content.found, Found::Other { torn: true, .. }) {
                break;
            }
            self.join.context.clock().sleep(REREAD_PAUSE).await;
            self.content = self.join.read_file();
        }
        self.content.check()?;
        let is_usable = !matches!(self.content.found, Found::Other { .. });
        self.loaded = is_usable.then(|| UsedContent(self.content.bytes.clone()));
        let loaded = self.join.join(&self.provider, self.records.load().await?, &self.content.found);
        let is_foreign = match &loaded {
            Loaded::Record(record) | Loaded::FromFallback(record) => {
                self.join.is_foreign(&self.content.found, record)
            }
            Loaded::Nothing | Loaded::Unreadable(_) => false,
        };
        self.known = grant(&self.content.found).filter(|_| !is_foreign).cloned();
        Ok(loaded)
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        self.records.probe(saves).await?;
        self.probe_file(saves).map_err(hinted)
    }

    async fn probe_login(&mut self) -> Result<()> {
        self.records.probe_login().await?;
        self.probe_file(1).map_err(hinted)
    }

    fn login_check(&self) -> Option<LoginCheck> {
        let (file, loaded) = (self.join.file.clone(), self.loaded.clone()?);
        // Compares the content, because size and times can be equal after a change.
        Some(Arc::new(move || Ok(UsedContent(read_bytes(file.path()).map_err(unreadable)?) == loaded)))
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        // Reads the login file again only if another program has changed the file since the last read.
        let version = Version::of(self.join.file.path());
        if version.is_none() || version != self.content.version {
            self.content = self.join.read_file();
        }
        let login = record.file_login();
        if login.is_empty() {
            return self.records.save(&record.with_login_in_record()).await;
        }
        if !record.new_login {
            // Saves only the record if the file may contain another issuer's login.
            if self.join.is_foreign(&self.content.found, record) {
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
        self.content = self.join.read_file();
        self.content.check()?;
        let kept = match &self.content.found {
            Found::Other { why, .. } => Some(why.clone()),
            _ if self.is_theirs() => Some("contains another login".to_owned()),
            _ => None,
        };
        match kept {
            Some(why) => {
                let (provider, path) = (&self.provider, sanitize(&self.join.path()));
                let message = format!("{provider}: {path} {why}; the file was not changed");
                self.join.context.prompt().notify(&message);
            }
            None => self.remove_login()?,
        }
        self.records.forget().await
    }
}

impl LockedExternalLogin {
    /// Creates the login file's folder, and reserves disk space for `saves` saves.
    fn probe_file(&mut self, saves: usize) -> Result<()> {
        if let Some(folder) = self.join.file.path().parent() {
            platform::make_folder(folder)
                .map_err(|error| cannot_write("create the folder", folder, error))?;
        }
        self.login_file.probe(saves)
    }

    /// Whether another program has logged in or out since this process last used the login file.
    fn is_theirs(&self) -> bool {
        match (&self.known, grant(&self.content.found)) {
            (known, Some(stored)) => known.as_ref().is_none_or(|known| !known.same_as(stored)),
            (known, None) => known.is_some() && matches!(self.content.found, Found::Nothing),
        }
    }

    /// Writes the login to the login file, and then the other data to the record file.
    async fn put(&mut self, record: &Record, login: FileLogin) -> Result<Option<String>> {
        // Renames the file instead of overwriting another issuer's login, or a login that the broker never used.
        let found = &self.content.found;
        let displaces = self.join.is_foreign(found, record)
            || if record.new_login {
                matches!(found, Found::Login(login) if login.of_another && !record.vouches_for(&self.join.path(), login))
            } else {
                !record.is_external() && grant(found).is_some()
            };
        // A refresh intent does not change the login. Writing the file anyway could undo a change of another program.
        if !displaces && !record.new_login && matches!(found, Found::Login(stored) if stored.same_as(&login))
        {
            return self.save_record(record).await;
        }
        let before = self.content.bytes.as_ref().filter(|_| !displaces);
        let Some(bytes) = self.join.file.write(&login, before.map(|bytes| bytes.as_slice())) else {
            // The login file's format cannot store this login. A new login still removes the old login from the file.
            if record.new_login {
                self.remove_login()?;
                return self.records.save(&record.with_login_in_record()).await;
            }
            return self.save_record(record).await;
        };
        let mut quarantined = None;
        if self.content.bytes.as_ref() != Some(&bytes) {
            quarantined = if displaces { self.login_file.quarantine()? } else { None };
            if !self.replace_file(&bytes)? {
                self.content = self.join.read_file();
                return self.save(record).await;
            }
            self.known.clone_from(&login.refresh_token);
            self.loaded = Some(UsedContent(Some(bytes.clone())));
            // Stores no file version, so that the next save reads the login file again.
            self.content = FileContent { found: Found::Login(login), bytes: Some(bytes), version: None };
        }
        Ok(quarantined.as_deref().map(private).or(self.save_record(record).await?))
    }

    /// Saves the record without the refresh token, because the login file contains the refresh token.
    async fn save_record(&mut self, record: &Record) -> Result<Option<String>> {
        let record = record.with_login_in_file(&self.join.path(), self.known.as_ref());
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
        match self.join.file.without_login(bytes) {
            Some(rest) => self.replace_file(&rest).map(drop),
            None => self.login_file.remove().map_err(hinted),
        }
    }

    /// Replaces the login file's content, or returns false if another program has just changed the file. Compares the
    /// content, because size and times can be equal after a change.
    fn replace_file(&mut self, bytes: &[u8]) -> Result<bool> {
        let (file, before) = (&self.join.file, &self.content.bytes);
        let is_current = || read_bytes(file.path()).ok().flatten() == *before;
        self.login_file.replace_if(bytes, is_current).map_err(hinted)
    }
}

impl FileContent {
    /// Fails if the login file could not be read.
    fn check(&self) -> Result<()> {
        match &self.found {
            Found::Fault(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

impl Join {
    fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    fn read_file(&self) -> FileContent {
        // Reads the file's size and times before its content, so that the next save detects a write in between.
        let version = Version::of(self.file.path());
        let bytes = read_bytes(self.file.path());
        let found = match &bytes {
            // Also if a file has the name of one of the folders.
            Ok(None) | Err(_) if self.file.path().parent().is_some_and(is_missing) => Found::NoFolder,
            Ok(None) => Found::Nothing,
            Ok(Some(bytes)) => match self.file.read(bytes) {
                Ok(login) if login.is_empty() => Found::Nothing,
                Ok(login) => Found::Login(login),
                Err(InvalidLoginFile::Torn) => {
                    Found::Other { why: "is incomplete, or not a login file".to_owned(), torn: true }
                }
                Err(InvalidLoginFile::Other(why)) => Found::Other { why, torn: false },
            },
            // A symbolic link, for example, is no login of the service's own tools.
            Err(error) if self.file.path().symlink_metadata().is_ok_and(|meta| !meta.is_file()) => {
                Found::Other { why: format!("cannot be read: {}", error.message()), torn: false }
            }
            Err(error) => Found::Fault(unreadable(error.clone())),
        };
        FileContent { found, bytes: bytes.ok().flatten(), version }
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

fn grant(found: &Found) -> Option<&Secret> {
    match found {
        Found::Login(login) => login.refresh_token.as_ref(),
        Found::Nothing | Found::NoFolder | Found::Other { .. } | Found::Fault(_) => None,
    }
}

fn unreadable(error: Error) -> Error {
    error.with_hint("check the disk and the permissions of the file, then try again")
}

/// Replaces the hint to choose another state folder, because the login file is not in the state folder.
fn hinted(error: Error) -> Error {
    error.with_hint(
        "to store this login separately from the service's own tools, set `share = false` for the provider",
    )
}
