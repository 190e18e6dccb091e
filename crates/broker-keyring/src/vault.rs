//! The vault, which encrypts (seals) and decrypts the records in a state folder.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use broker_core::{
    Env, Envelope, Error, ErrorCode, Result, Sealer, Secret, SecretSource, platform, sanitize,
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::key::DataKey;
use crate::passphrase::Kdf;
use crate::{KEYRING_TIMEOUT, block_on, keyring};

/// How long to wait for another process that creates the folder's key.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause before the next call to a keyring that timed out.
const KEYRING_BACKOFF: Duration = Duration::from_secs(30);

/// Where the key that encrypts a record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySource {
    /// The key is in the keyring of the desktop session.
    Keyring,
    /// The key is derived from a passphrase.
    Passphrase,
    /// The user provides the key in a file, an environment variable or the output of a command.
    Key,
}

impl KeySource {
    /// Returns the key source's name in records and in the setting `store`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::Passphrase => "passphrase",
            Self::Key => "key",
        }
    }
}

impl FromStr for KeySource {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Keyring, Self::Passphrase, Self::Key];
        all.into_iter().find(|source| source.name() == name).ok_or_else(|| {
            let message = format!("the record is encrypted with an unknown method: `{}`", sanitize(name));
            newer_version(message)
        })
    }
}

/// Encrypts (seals) and decrypts the records in a state folder.
pub struct Vault {
    folder: PathBuf,
    configured: Option<KeySource>,
    passphrase: Option<SecretSource>,
    key: Option<SecretSource>,
    env: Arc<dyn Env>,
    /// The cached keys. Never locked during a wait.
    keys: Mutex<KeyCache>,
    /// Locked while one caller gets a key, so that other callers wait and use the cached key.
    getter: Mutex<KeyringTimeout>,
}

/// The sealing keys that this process has read.
#[derive(Default)]
struct KeyCache {
    keys: Vec<SealingKey>,
    /// For each provider, the key that seals its record.
    selected: HashMap<String, SealingKey>,
}

impl KeyCache {
    fn by_id(&self, source: KeySource, id: &str) -> Option<&SealingKey> {
        self.keys.iter().find(|key| key.source == source && key.id == id)
    }

    /// Caches a key, unless a key with the same source and id is cached.
    fn insert(&mut self, source: KeySource, kdf: Option<Kdf>, key: DataKey) -> SealingKey {
        let key = SealingKey { source, id: key.id(), kdf, key };
        if self.by_id(source, &key.id).is_none() {
            self.keys.push(key.clone());
        }
        key
    }
}

/// When a call to the keyring timed out, and the error of that call.
#[derive(Default)]
struct KeyringTimeout(Option<(Instant, Error)>);

impl KeyringTimeout {
    /// Calls the keyring. Shortly after a slow failure, returns the error of that call instead.
    fn call<T>(&mut self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some((since, error)) = &self.0
            && since.elapsed() < KEYRING_BACKOFF
        {
            return Err(error.clone());
        }
        let started = Instant::now();
        let result = call();
        let timed_out = result.as_ref().err().filter(|_| started.elapsed() >= KEYRING_TIMEOUT);
        self.0 = timed_out.map(|error| (Instant::now(), error.clone()));
        result
    }
}

/// A key with its source, its id and, for a passphrase, the derivation parameters.
#[derive(Clone)]
struct SealingKey {
    source: KeySource,
    id: String,
    kdf: Option<Kdf>,
    key: DataKey,
}

impl Vault {
    /// Creates a vault for the records in `folder`. Without a `configured` key source, new records are plain text.
    /// `passphrase` and `key` are the user's key sources.
    #[must_use]
    pub fn new(
        folder: PathBuf,
        configured: Option<KeySource>,
        passphrase: Option<SecretSource>,
        key: Option<SecretSource>,
        env: Arc<dyn Env>,
    ) -> Self {
        Self { folder, configured, passphrase, key, env, keys: Mutex::default(), getter: Mutex::default() }
    }

    /// Whether the keyring may have a key for the state folder. Does not call the keyring.
    pub fn may_have_key(&self) -> bool {
        self.lock_path().metadata().is_ok_and(|meta| meta.len() > 0)
    }

    /// Deletes the folder's key from the keyring if no record needs that key. Returns whether a key was deleted.
    pub fn forget_unused(&self) -> Result<bool> {
        let lock = self.lock()?;
        for envelope in Envelope::all_in(&self.folder)? {
            if envelope?.with == KeySource::Keyring.name() {
                return Ok(false);
            }
        }
        let deleted = keyring::delete(&self.folder)?;
        // An empty lock file means that the keyring has no key. If this write fails, `may_have_key` stays true.
        let _ = lock.set_len(0);
        Ok(deleted)
    }

    /// Returns the key that decrypts a sealed record.
    fn key_of(&self, envelope: &Envelope, keyring: &mut KeyringTimeout) -> Result<SealingKey> {
        let source = KeySource::from_str(&envelope.with)?;
        if let Some(key) = self.keys().by_id(source, &envelope.key) {
            return Ok(key.clone());
        }
        let (kdf, key) = match source {
            KeySource::Keyring => {
                let key = keyring.call(|| keyring::key_of_id(&envelope.key))?;
                (None, key.ok_or_else(|| key_not_in_keyring(envelope))?)
            }
            KeySource::Key => (None, self.read_key()?),
            KeySource::Passphrase => {
                let kdf = Kdf::read(envelope.kdf.as_ref()).ok_or_else(|| {
                    newer_version("the record is encrypted with an unknown key derivation".to_owned())
                })?;
                // Argon2id is slow, so a key with the same parameters is reused.
                let same = |key: &&SealingKey| key.kdf.as_ref() == Some(&kdf);
                let cached = self.keys().keys.iter().find(same).map(|key| key.key.clone());
                let key = cached.map_or_else(|| self.derived(&kdf, &envelope.key), Ok)?;
                (Some(kdf), key)
            }
        };
        let key = self.keys().insert(source, kdf, key);
        if key.id == envelope.key { Ok(key) } else { Err(other_key(source, envelope)) }
    }

    /// Returns the key for sealing a record: the key of the old record, of another record or of the folder, or a new
    /// key. Ignores a cached key that no record uses, because the user may have replaced that key.
    fn key_to_seal(&self, source: KeySource, provider: &str) -> Result<SealingKey> {
        let keyring = &mut *self.getter();
        let own = Envelope::of_file(&self.folder.join(format!("{provider}.json")));
        let mut sealed =
            own.into_iter().chain(Envelope::all_in(&self.folder).into_iter().flatten().flatten());
        if let Some(envelope) = sealed.find(|envelope| envelope.with == source.name() && is_strong(envelope))
        {
            return self.key_of(&envelope, keyring);
        }
        let (kdf, key) = match source {
            KeySource::Keyring => (None, self.key_in_keyring()?),
            KeySource::Key => (None, self.read_key()?),
            KeySource::Passphrase => {
                let kdf = Kdf::new()?;
                let key = kdf.key(&self.read(source)?)?;
                (Some(kdf), key)
            }
        };
        Ok(self.keys().insert(source, kdf, key))
    }

    /// Returns the folder's key from the keyring. Creates a key if none exists, and verifies that it can be read.
    fn key_in_keyring(&self) -> Result<DataKey> {
        let lock = self.lock()?;
        // The lock file must not be empty before the key exists: after a crash, `may_have_key` must return true.
        lock.set_len(1).map_err(|error| self.cannot_lock(error))?;
        if let Some(key) = keyring::key_of_folder(&self.folder)? {
            return Ok(key);
        }
        let key = DataKey::new()?;
        keyring::save(&self.folder, &key)?;
        match keyring::key_of_id(&key.id())? {
            Some(saved) if saved.bytes == key.bytes => Ok(saved),
            _ => {
                let message = "the OS keyring did not return the key that the broker had just saved";
                Err(Error::new(ErrorCode::KeyringUnavailable, message)
                    .with_hint("repair the keyring, or set `store = \"file\"`"))
            }
        }
    }

    /// Locks a file, so that no other process creates or deletes the folder's key.
    fn lock(&self) -> Result<File> {
        platform::make_folder(&self.folder).map_err(|error| self.cannot_lock(error))?;
        let lock = platform::open_lock(&self.lock_path()).map_err(|error| self.cannot_lock(error))?;
        let started = Instant::now();
        // On a file system without locks, the broker continues, because two processes rarely create a key at once.
        while let Err(TryLockError::WouldBlock) = lock.try_lock() {
            if started.elapsed() >= LOCK_TIMEOUT {
                let message = format!("another process has locked {}", self.lock_path().display());
                return Err(Error::new(ErrorCode::LockTimeout, message)
                    .with_hint("end the process that has locked the file, or try again"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(lock)
    }

    fn lock_path(&self) -> PathBuf {
        self.folder.join(".keyring.lock")
    }

    fn cannot_lock(&self, error: std::io::Error) -> Error {
        let message = format!("cannot lock {}: {error}", self.lock_path().display());
        Error::new(ErrorCode::StoreUnwritable, message).with_source(error)
    }

    /// Derives the key from the passphrase. Older versions kept a byte order mark before the passphrase, so a key with
    /// another `id` is derived again with such a mark.
    fn derived(&self, kdf: &Kdf, id: &str) -> Result<DataKey> {
        let passphrase = self.read(KeySource::Passphrase)?;
        let key = kdf.key(&passphrase)?;
        if key.id() == id {
            return Ok(key);
        }
        let marked = kdf.key(&Secret::new(format!("\u{feff}{}", passphrase.expose())))?;
        Ok(if marked.id() == id { marked } else { key })
    }

    /// Reads the configured passphrase or key. The caller may be in an async runtime.
    fn read(&self, source: KeySource) -> Result<Secret> {
        let configured = if source == KeySource::Passphrase { &self.passphrase } else { &self.key };
        let (env, key) = (self.env.as_ref(), &format!("`store.{}`", source.name()));
        match configured.as_ref().ok_or_else(|| not_configured(source))? {
            // Older versions kept the blanks around a passphrase in the configuration.
            SecretSource::Literal(secret) => Ok(secret.clone()),
            command @ SecretSource::Command(_) => block_on(async || command.read(env, key, "`store`").await)
                .unwrap_or_else(|error| {
                    let message = format!("cannot read {key}: {error}");
                    Err(Error::new(ErrorCode::SecretUnreadable, message).with_source(error))
                }),
            source => source.read_now(env, key, "`store`"),
        }
    }

    fn read_key(&self) -> Result<DataKey> {
        DataKey::parse(self.read(KeySource::Key)?.expose()).ok_or_else(|| {
            let message = "`store.key` is not a key: it must be 32 bytes in base64 or hexadecimal";
            Error::new(ErrorCode::ConfigInvalidValue, message)
                .with_hint("create a key: head -c 32 /dev/urandom | base64")
        })
    }

    fn keys(&self) -> MutexGuard<'_, KeyCache> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn getter(&self) -> MutexGuard<'_, KeyringTimeout> {
        self.getter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decrypt(&self, envelope: &Envelope, key: &SealingKey) -> Option<Zeroizing<Vec<u8>>> {
        let record = key.key.open(envelope)?;
        self.keys().selected.insert(envelope.provider.clone(), key.clone());
        Some(record)
    }
}

impl Sealer for Vault {
    fn configured(&self) -> Option<&str> {
        self.configured.map(KeySource::name)
    }

    fn probe(&self, with: &str, provider: &str) -> Result<()> {
        let key = self.key_to_seal(with.parse()?, provider)?;
        self.keys().selected.insert(provider.to_owned(), key);
        Ok(())
    }

    fn seal(&self, with: &str, provider: &str, record: &[u8]) -> Result<Envelope> {
        let source = with.parse()?;
        // Usually, an earlier call of `probe` or `open` has selected the provider's key.
        let selected = self.keys().selected.get(provider).filter(|key| key.source == source).cloned();
        let key = selected.map_or_else(|| self.key_to_seal(source, provider), Ok)?;
        let kdf: Option<Value> = key.kdf.as_ref().and_then(Kdf::value);
        key.key.seal(Envelope::new(provider, source.name(), &key.id, kdf), record)
    }

    fn open(&self, envelope: &Envelope) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let key = self.key_of(envelope, &mut self.getter())?;
        Ok(self.decrypt(envelope, &key))
    }

    fn peek(&self, envelope: &Envelope) -> Option<Zeroizing<Vec<u8>>> {
        let key = self.keys().by_id(envelope.with.parse().ok()?, &envelope.key)?.clone();
        self.decrypt(envelope, &key)
    }
}

/// Whether the record's key may encrypt new records. A key from weak Argon2id parameters may not.
fn is_strong(envelope: &Envelope) -> bool {
    envelope.with != KeySource::Passphrase.name()
        || Kdf::read(envelope.kdf.as_ref()).is_some_and(|kdf| kdf.is_strong())
}

fn newer_version(message: String) -> Error {
    Error::new(ErrorCode::StoreSealed, message)
        .with_hint("use the version of this program that wrote the record, or a newer one")
}

fn key_not_in_keyring(envelope: &Envelope) -> Error {
    let id = sanitize(&envelope.key);
    let message = format!("the record is encrypted, and the OS keyring does not contain its key ({id})");
    let hint =
        format!("restore the keyring that contains the key; if the key is lost, {}", give_up(envelope));
    Error::new(ErrorCode::StoreSealed, message).with_hint(hint)
}

fn other_key(source: KeySource, envelope: &Envelope) -> Error {
    let (name, provider) = (source.name(), sanitize(&envelope.provider));
    let message = format!("the {name} in `store.{name}` cannot decrypt the record of {provider}");
    let hint = format!("set `store.{name}` to the record's {name}; if that is lost, {}", give_up(envelope));
    Error::new(ErrorCode::StoreSealed, message).with_hint(hint)
}

fn give_up(envelope: &Envelope) -> String {
    format!("remove {} and log in again", envelope.file.display())
}

fn not_configured(source: KeySource) -> Error {
    let name = source.name();
    let message = format!("the record is encrypted with a {name}, but `store.{name}` is not configured");
    let hint = format!("set `store = {{ {name} = {{ file = \"PATH\" }} }}` to open the record");
    Error::new(ErrorCode::StoreSealed, message).with_hint(hint)
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({}, {:?})", self.folder.display(), self.configured)
    }
}
