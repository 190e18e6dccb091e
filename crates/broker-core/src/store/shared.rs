//! A store over another, where the login of a provider is in a file of the service's own tools.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::lock::{Attempt, lock};
use super::read::{cannot, read_bytes};
use super::replaced::Replaced;
use crate::platform::{self, Version};
use crate::{
    Context, Error, FileLogin, Loaded, Locked, Locking, LoginFile, Provider, Record, Result, Secret, Store,
    StoreAbout,
};

/// Older tools write in place: who meets half a file looks again, so often and after this.
const LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The records of one provider, joined with the file that has its login.
pub(crate) struct SharedStore {
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
    /// There is none.
    Nothing,
    /// A login.
    Login(FileLogin),
    /// Something that is not used, and why in words.
    Other(String),
}

impl SharedStore {
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
impl Store for SharedStore {
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
        Ok(Locking::Taken(Box::new(LockedShared {
            records,
            _lock: lock,
            replaced: Replaced::of(path, false),
            join,
            provider,
            loaded: Look { found: Found::Nothing, bytes: None, version: None },
            theirs: false,
        })))
    }

    fn about(&self) -> StoreAbout {
        self.records.about()
    }
}

/// The lock file beside a shared file: the service's own tools know nothing of it.
const LOCK: &str = ".broker.lock";

struct LockedShared {
    records: Box<dyn Locked>,
    _lock: Option<File>,
    replaced: Replaced,
    join: Join,
    provider: String,
    /// What was in the file when it was loaded, or saved since.
    loaded: Look,
    /// Whether somebody else has written a login there since.
    theirs: bool,
}

/// What is in the file, its bytes, and which version of the file that is.
struct Look {
    found: Found,
    bytes: Option<Zeroizing<Vec<u8>>>,
    version: Option<Version>,
}

#[async_trait]
impl Locked for LockedShared {
    async fn load(&mut self) -> Result<Loaded> {
        (self.loaded, self.theirs) = (self.join.look(), false);
        for _ in 0..LOOKS {
            if !matches!(self.loaded.found, Found::Other(_)) {
                break;
            }
            self.join.context.pause(BETWEEN_LOOKS).await?;
            self.loaded = self.join.look();
        }
        Ok(self.join.join(&self.provider, self.records.load().await?, &self.loaded.found))
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        self.records.probe(saves).await?;
        make_folder(self.join.file.path()).and_then(|()| self.replaced.probe(1)).map_err(hinted)
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let before = grant(&self.loaded.found).cloned();
        // Between an answer and its save as little as can be is done: the file is read again only if it has changed.
        if Version::of(self.join.file.path()) != self.loaded.version {
            self.loaded = self.join.look();
        }
        let there = grant(&self.loaded.found);
        // Another login, or a logout.
        self.theirs |= match (&before, there) {
            (before, Some(there)) => !before.as_ref().is_some_and(|before| before.same_as(there)),
            (before, None) => before.is_some() && matches!(self.loaded.found, Found::Nothing),
        };
        let login = record.file_login();
        let (mut aside, mut shared) = (None, there.cloned());
        let other = matches!(self.loaded.found, Found::Other(_));
        if self.theirs && !record.is_new_login() {
            tracing::info!("the service's own tools have logged in or out meanwhile: that counts");
            shared = before;
        } else if other && !record.is_new_login() {
            // Only a login takes the place of what is not ours.
            return self.records.save(record).await;
        } else if login.refresh_token.is_some() || login.access_token.is_some() {
            let kept = self.loaded.bytes.as_ref().filter(|_| !other);
            let Some(content) = self.join.file.write(&login, kept.map(|bytes| bytes.as_slice())) else {
                // The file can have nothing of it: it is the record's alone.
                self.take_out()?;
                return self.records.save(record).await;
            };
            if self.loaded.bytes.as_ref() != Some(&content) {
                aside = if other { self.replaced.set_aside()? } else { None };
                self.replaced.replace(&content).map_err(hinted)?;
                // No version: whoever has written since is noticed by the next save.
                let (found, bytes) = (Found::Login(login.clone()), Some(content));
                self.loaded = Look { found, bytes, version: None };
            }
            shared = login.refresh_token;
        }
        let kept = self.records.save(&record.beside_file(&self.join.path(), shared.as_ref())).await?;
        Ok(aside.or(kept))
    }

    async fn rescue(&mut self, record: &Record) -> Result<String> {
        self.records.rescue(record).await
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        self.loaded = self.join.look();
        self.take_out()?;
        self.records.forget().await
    }
}

impl LockedShared {
    /// Takes the login out of the file. What is of another issuer, or torn, is not this login.
    fn take_out(&mut self) -> Result<()> {
        let (Found::Login(_), Some(bytes)) = (&self.loaded.found, &self.loaded.bytes) else { return Ok(()) };
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

    /// What is in the file now.
    fn look(&self) -> Look {
        // A version from before the bytes: what is written meanwhile makes another.
        let version = Version::of(self.file.path());
        let (found, bytes) = match read_bytes(self.file.path()) {
            Ok(None) => (Found::Nothing, None),
            Ok(Some(bytes)) => match self.file.read(&bytes) {
                Ok(login) => (Found::Login(login), Some(bytes)),
                Err(why) => (Found::Other(why), Some(bytes)),
            },
            Err(error) => (Found::Other(format!("cannot be used: {}", error.message())), None),
        };
        Look { found, bytes, version }
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
            (Loaded::Rescued(record), _) => (record, true),
        };
        *record = record.of_issuer(issuer, account, now);
        let path = self.path();
        match found {
            Found::Nothing => record.join(&path, None, now),
            Found::Login(login) => record.join(&path, Some(login.clone()), now),
            Found::Other(why) => record.miss_file(&path, why),
        }
        if rescued { Loaded::Rescued(record) } else { Loaded::Record(record) }
    }
}

fn grant(found: &Found) -> Option<&Secret> {
    match found {
        Found::Login(login) => login.refresh_token.as_ref(),
        Found::Nothing | Found::Other(_) => None,
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
