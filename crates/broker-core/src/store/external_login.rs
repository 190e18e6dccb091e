//! A store over another, where the login of a provider is in a file of the service's own tools.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::atomic_file::AtomicFile;
use super::bytes::{cannot, read_bytes};
use super::filesystem::Filesystem;
use super::lock::{Attempt, lock};
use crate::platform::{self, Version};
use crate::{
    Context, Error, FileLogin, InvalidLoginFile, Loaded, Locked, Locking, LoginFile, Provider, Record,
    Result, Secret, Store, StoreAbout, sanitize,
};

/// Older tools write in place: who meets half a file looks again, so often and after this.
const LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The records of one provider, joined with the file that has its login.
pub(crate) struct ExternalLoginStore {
    records: Arc<dyn Store>,
    join: Join,
}

/// What joins a record and the file.
#[derive(Clone)]
struct Join {
    provider: Arc<dyn Provider>,
    file: Arc<dyn LoginFile>,
    context: Context,
}

/// What is in the file.
enum Found {
    /// No login; there may be something else.
    Nothing,
    /// A login.
    Login(FileLogin),
    /// Something that is not used, and why in words.
    Other { why: String, torn: bool },
}

impl ExternalLoginStore {
    /// `file` has the login of `provider`, whose records are in `records`.
    pub(crate) fn new(
        records: Arc<dyn Store>,
        provider: Arc<dyn Provider>,
        file: Arc<dyn LoginFile>,
        context: Context,
    ) -> Self {
        Self { records, join: Join { provider, file, context } }
    }
}

#[async_trait]
impl Store for ExternalLoginStore {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        // The file is written before the record: read after it, it is never the older of the two.
        let record = self.records.peek(provider)?;
        Ok(self.join.join(provider, record, &self.join.look().found))
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        let records = match self.records.try_lock(provider).await? {
            Locking::Taken(records) => records,
            busy @ Locking::Busy(_) => return Ok(busy),
        };
        let path = self.join.file.path();
        // Two state folders may share the file. Where its folder is not there yet, nobody has a login to lose.
        let lock = match path.parent().filter(|folder| folder.is_dir()) {
            Some(folder) => match lock(&folder.join(LOCK)).map_err(hinted)? {
                Attempt::Busy(holder) => return Ok(Locking::Busy(holder)),
                Attempt::Taken(lock) => Some(lock),
                Attempt::Unsupported => None,
            },
            None => None,
        };
        let (join, provider) = (self.join.clone(), provider.to_owned());
        Ok(Locking::Taken(Box::new(LockedExternalLogin {
            records,
            _lock: lock,
            replaced: AtomicFile::of(path, Filesystem::of(path.parent().unwrap_or(path)).shared),
            join,
            provider,
            seen: Look { found: Found::Nothing, bytes: None, version: None },
            known: None,
        })))
    }

    fn about(&self) -> StoreAbout {
        self.records.about()
    }
}

/// The lock file beside a shared file: the service's own tools know nothing of it.
const LOCK: &str = ".broker.lock";

struct LockedExternalLogin {
    records: Box<dyn Locked>,
    _lock: Option<File>,
    replaced: AtomicFile,
    join: Join,
    provider: String,
    /// What is in the file, as it was last looked at or written.
    seen: Look,
    /// The grant that the record in hand was joined with, or that was written for it since.
    known: Option<Secret>,
}

/// What is in the file, its bytes, and which version of the file that is.
struct Look {
    found: Found,
    bytes: Option<Zeroizing<Vec<u8>>>,
    version: Option<Version>,
}

#[async_trait]
impl Locked for LockedExternalLogin {
    async fn load(&mut self) -> Result<Loaded> {
        self.seen = self.join.look();
        for _ in 0..LOOKS {
            if !matches!(self.seen.found, Found::Other { torn: true, .. }) {
                break;
            }
            self.join.context.pause(BETWEEN_LOOKS).await?;
            self.seen = self.join.look();
        }
        self.known = grant(&self.seen.found).cloned();
        Ok(self.join.join(&self.provider, self.records.load().await?, &self.seen.found))
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        self.records.probe(saves).await?;
        make_folder(self.join.file.path()).and_then(|()| self.replaced.probe(saves)).map_err(hinted)
    }

    async fn probe_login(&mut self) -> Result<()> {
        self.records.probe_login().await?;
        make_folder(self.join.file.path()).and_then(|()| self.replaced.probe(1)).map_err(hinted)
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        // Between an answer and its save as little as can be is done: the file is read again only if it has changed.
        let version = Version::of(self.join.file.path());
        if version.is_none() || version != self.seen.version {
            self.seen = self.join.look();
        }
        let login = record.file_login();
        if login.is_empty() {
            return self.records.save(&record.beside_no_file()).await;
        }
        if !record.is_new_login() {
            if self.is_theirs() {
                tracing::info!("the service's own tools have logged in or out meanwhile: that counts");
                return self.save_beside(record, self.known.clone()).await;
            }
            // Only a login, or one that still is one, takes the place of what is not ours.
            let other = self.join.is_foreign(&self.seen.found, record);
            if other || (!record.is_shared() && record.usable_grant().is_none()) {
                return self.records.save(record).await;
            }
        }
        self.put(record, login).await
    }

    async fn save_to_fallback(&mut self, record: &Record) -> Result<String> {
        self.records.save_to_fallback(record).await
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        self.seen = self.join.look();
        let left = match &self.seen.found {
            Found::Other { why, .. } => Some(why.clone()),
            _ if self.is_theirs() => Some("has another login since".to_owned()),
            _ => None,
        };
        match left {
            Some(why) => {
                let path = sanitize(&self.join.path());
                self.join
                    .context
                    .person()
                    .notify(&format!("{}: {path} {why}: it is left as it is", self.provider));
            }
            None => self.take_out()?,
        }
        self.records.forget().await
    }
}

impl LockedExternalLogin {
    /// Whether somebody else has logged in there, or out, since the record was joined.
    fn is_theirs(&self) -> bool {
        match (&self.known, grant(&self.seen.found)) {
            (known, Some(there)) => !known.as_ref().is_some_and(|known| known.same_as(there)),
            (known, None) => {
                known.is_some() && matches!(self.seen.found, Found::Nothing) && self.join.folder_is_there()
            }
        }
    }

    /// Puts the login into the file, then the rest into the record.
    async fn put(&mut self, record: &Record, login: FileLogin) -> Result<Option<String>> {
        // What is of somebody else, or was kept apart until now, is kept aside.
        let displaces = self.join.is_foreign(&self.seen.found, record)
            || (!record.is_shared() && !record.is_new_login() && grant(&self.seen.found).is_some())
            || (record.is_new_login() && matches!(&self.seen.found, Found::Login(login) if login.of_another));
        let kept = self.seen.bytes.as_ref().filter(|_| !displaces);
        let Some(content) = self.join.file.write(&login, kept.map(|bytes| bytes.as_slice())) else {
            // The file can have nothing of it. What the last login left there is not this one.
            if record.is_new_login() {
                self.take_out()?;
                return self.records.save(&record.beside_no_file()).await;
            }
            return self.save_beside(record, self.known.clone()).await;
        };
        let mut aside = None;
        if self.seen.bytes.as_ref() != Some(&content) {
            aside = if displaces { self.replaced.quarantine()? } else { None };
            self.replaced.replace(&content).map_err(hinted)?;
            // No version: whoever has written since is noticed by the next save.
            self.known.clone_from(&login.refresh_token);
            self.seen = Look { found: Found::Login(login), bytes: Some(content), version: None };
        }
        Ok(aside.or(self.save_beside(record, self.known.clone()).await?))
    }

    /// Saves the record of a login that is in the file, and has this grant there.
    async fn save_beside(&mut self, record: &Record, grant: Option<Secret>) -> Result<Option<String>> {
        self.records.save(&record.beside_file(&self.join.path(), grant.as_ref())).await
    }

    /// Takes the login out of the file. What is of another issuer, or torn, is not this login.
    fn take_out(&mut self) -> Result<()> {
        let (Found::Login(login), Some(bytes)) = (&self.seen.found, &self.seen.bytes) else { return Ok(()) };
        if login.unproven.is_some() && self.known.is_none() {
            return Ok(());
        }
        match self.join.file.without_login(bytes) {
            Some(rest) => self.replaced.replace(&rest),
            None => self.replaced.remove(),
        }
        .map_err(hinted)
    }
}

impl Join {
    fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    fn folder_is_there(&self) -> bool {
        self.file.path().parent().is_some_and(Path::is_dir)
    }

    /// What is in the file now.
    fn look(&self) -> Look {
        // A version from before the bytes: what is written meanwhile makes another.
        let version = Version::of(self.file.path());
        let (found, bytes) = match read_bytes(self.file.path()) {
            Ok(None) => (Found::Nothing, None),
            Ok(Some(bytes)) => {
                let found = match self.file.read(&bytes) {
                    Ok(login) if login.is_empty() => Found::Nothing,
                    Ok(login) => Found::Login(login),
                    Err(InvalidLoginFile::Torn) => {
                        Found::Other { why: "is not whole, or no file of tokens".to_owned(), torn: true }
                    }
                    Err(InvalidLoginFile::Other(why)) => Found::Other { why, torn: false },
                };
                (found, Some(bytes))
            }
            Err(error) => {
                (Found::Other { why: format!("cannot be used: {}", error.message()), torn: false }, None)
            }
        };
        Look { found, bytes, version }
    }

    /// Whether what is there is not a login of this record's issuer, as far as can be told.
    fn is_foreign(&self, found: &Found, record: &Record) -> bool {
        match found {
            Found::Nothing => false,
            Found::Other { .. } => true,
            Found::Login(login) => login.unproven.is_some() && !record.knows(&self.path(), login),
        }
    }

    /// A record as its store shows it, with the login of the file in it.
    fn join(&self, provider: &str, loaded: Loaded, found: &Found) -> Loaded {
        let now = self.context.now();
        let (issuer, account) = (self.provider.issuer(), self.provider.account());
        let empty = || Box::new(Record::new(provider, issuer.clone()));
        let (mut record, rescued) = match (loaded, found) {
            (loaded @ (Loaded::Nothing | Loaded::Unreadable(_)), Found::Nothing) => return loaded,
            (Loaded::Nothing | Loaded::Unreadable(_), _) => (empty(), false),
            (Loaded::Record(record), _) => (record, false),
            (Loaded::FromFallback(record), _) => (record, true),
        };
        *record = record.of_issuer(issuer, account, now);
        let path = self.path();
        match found {
            // A disk that is away is no logout.
            Found::Nothing if record.is_shared() && !self.folder_is_there() => {
                record.miss_file(&path, "is away, with its folder");
            }
            Found::Nothing => record.join(&path, None, now),
            Found::Other { why, .. } => record.miss_file(&path, why),
            Found::Login(login) => match &login.unproven {
                Some(why) if !record.knows(&path, login) => record.miss_file(&path, why),
                _ => record.join(&path, Some(login.clone()), now),
            },
        }
        if rescued { Loaded::FromFallback(record) } else { Loaded::Record(record) }
    }
}

fn grant(found: &Found) -> Option<&Secret> {
    match found {
        Found::Login(login) => login.refresh_token.as_ref(),
        Found::Nothing | Found::Other { .. } => None,
    }
}

fn make_folder(file: &Path) -> Result<()> {
    let Some(folder) = file.parent() else { return Ok(()) };
    platform::make_folder(folder).map_err(|error| cannot("make the folder", folder, error))
}

/// The usual hint of the store is of no use for this file.
fn hinted(error: Error) -> Error {
    error.with_hint(
        "to keep this login apart from the service's own tools, set `share = false` for the provider",
    )
}
