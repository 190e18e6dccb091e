//! Who seals the records of a folder.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use broker_core::{Env, Envelope, Error, Result, Sealer, Secret, SecretSource, platform};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::key::DataKey;
use crate::passphrase::Kdf;
use crate::{cipher, keyring, secret};

/// How long others may take to make the folder's key.
const PATIENCE: Duration = Duration::from_secs(20);

/// For how long a keyring that does not answer is left alone.
const REST: Duration = Duration::from_secs(30);

/// In which way a record is sealed: what has its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum With {
    /// The keyring of the desktop session.
    Keyring,
    /// A passphrase.
    Passphrase,
    /// A key that somebody keeps.
    Key,
}

impl With {
    /// What it is called in a record and in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::Passphrase => "passphrase",
            Self::Key => "key",
        }
    }
}

impl FromStr for With {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Keyring, Self::Passphrase, Self::Key];
        all.into_iter().find(|with| with.name() == name).ok_or_else(|| {
            let name = broker_core::sanitize(name);
            Error::failed(format!("the record is sealed in a way that this version does not know (`{name}`)"))
                .with_hint("use the version of broker that wrote it, or a newer one")
        })
    }
}

/// Seals the records of a folder, and opens them.
pub struct Vault {
    folder: PathBuf,
    configured: Option<With>,
    passphrase: Option<SecretSource>,
    key: Option<SecretSource>,
    env: Arc<dyn Env>,
    /// It is held while a key is had, so that none is had twice.
    keys: Mutex<Keys>,
}

/// What a process knows of keys.
#[derive(Default)]
struct Keys {
    /// The keys that were had so far.
    had: Vec<Had>,
    /// The mark of the key that each provider's record is to be sealed with.
    sealing: HashMap<(String, With), String>,
    /// Since when the keyring does not answer.
    silent: Option<Instant>,
}

impl Keys {
    fn of_id(&self, with: With, id: &str) -> Option<&Had> {
        self.had.iter().find(|one| one.with == with && one.id == id)
    }

    fn keep(&mut self, one: &Had) {
        if self.of_id(one.with, &one.id).is_none() {
            self.had.push(one.clone());
        }
    }

    /// From now on this key seals the record of a provider.
    fn choose(&mut self, provider: &str, one: &Had) {
        self.sealing.insert((provider.to_owned(), one.with), one.id.clone());
    }

    /// Asks the keyring. One that does not answer is not waited for anew for each record.
    fn ask<T>(&mut self, ask: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.silent.is_some_and(|since| since.elapsed() < REST) {
            return Err(keyring::silent());
        }
        let begun = Instant::now();
        let came = ask();
        self.silent = (came.is_err() && begun.elapsed() >= keyring::PATIENCE).then(Instant::now);
        came
    }

    fn chosen(&self, provider: &str, with: With) -> Option<&Had> {
        self.of_id(with, self.sealing.get(&(provider.to_owned(), with))?)
    }
}

/// A key that was had, and how it was made of a passphrase.
#[derive(Clone)]
struct Had {
    with: With,
    id: String,
    kdf: Option<Kdf>,
    key: DataKey,
}

impl Had {
    fn new(with: With, kdf: Option<Kdf>, key: DataKey) -> Self {
        Self { with, id: key.id(), kdf, key }
    }
}

impl Vault {
    /// For the records in `folder`. `configured` is the way for new ones; none leaves them plain text.
    #[must_use]
    pub fn new(folder: PathBuf, configured: Option<With>, env: Arc<dyn Env>) -> Self {
        Self { folder, configured, passphrase: None, key: None, env, keys: Mutex::default() }
    }

    /// With a passphrase from here, if a record needs one.
    #[must_use]
    pub fn with_passphrase(mut self, source: Option<SecretSource>) -> Self {
        self.passphrase = source;
        self
    }

    /// With a key from here, if a record needs one.
    #[must_use]
    pub fn with_key(mut self, source: Option<SecretSource>) -> Self {
        self.key = source;
        self
    }

    /// Whether the keyring may have a key for this folder: then one was put there, or was to be. Nobody is asked.
    #[must_use]
    pub fn may_have_key(&self) -> bool {
        self.lock_path().metadata().is_ok_and(|meta| meta.len() > 0)
    }

    /// Takes the folder's key out of the keyring if no record in the folder needs it; says whether one was there.
    pub fn forget_unused(&self) -> Result<bool> {
        let alone = self.alone()?;
        let needed = Envelope::all_in(&self.folder).any(|it| it.with == With::Keyring.name());
        if needed {
            return Ok(false);
        }
        let was_there = keyring::forget(&self.folder)?;
        // That it is asked once more in vain does no harm.
        let _ = alone.set_len(0);
        Ok(was_there)
    }

    /// The key of a sealed record.
    fn key_of(&self, envelope: &Envelope, keys: &mut Keys) -> Result<Had> {
        let with = With::from_str(&envelope.with)?;
        if let Some(one) = keys.of_id(with, &envelope.key) {
            return Ok(one.clone());
        }
        let one = match with {
            With::Keyring => match keys.ask(|| keyring::key_of_id(&envelope.key))? {
                Some(key) => Had::new(with, None, key),
                None => return Err(not_there(envelope)),
            },
            With::Key => Had::new(with, None, self.read_key()?),
            With::Passphrase => {
                let kdf = Kdf::read(envelope.kdf.as_ref()).ok_or_else(|| {
                    Error::failed("the record says of its passphrase what this version does not know")
                        .with_hint("use the version of broker that wrote it, or a newer one")
                })?;
                // A passphrase is tried once a process: it is the same each time.
                let tried =
                    keys.had.iter().find(|one| one.kdf.as_ref() == Some(&kdf)).map(|one| one.key.clone());
                let key = tried.map_or_else(|| kdf.key(&self.read_passphrase()?), Ok)?;
                Had::new(with, Some(kdf), key)
            }
        };
        keys.keep(&one);
        if one.id == envelope.key { Ok(one) } else { Err(wrong(with, envelope)) }
    }

    /// The key to seal with: that of the record, or of others which are sealed so, or the one that was kept for the
    /// folder, or a new one. A key that was had before is not used if no record has it any more: it may be gone where it
    /// came from.
    fn key_to_seal(&self, with: With, provider: &str, keys: &mut Keys) -> Result<Had> {
        let own = Envelope::of_file(&self.folder.join(format!("{provider}.json")));
        let mut sealed = own.into_iter().chain(Envelope::all_in(&self.folder));
        if let Some(envelope) = sealed.find(|it| it.with == with.name() && is_hard_enough(it)) {
            return self.key_of(&envelope, keys);
        }
        let one = match with {
            With::Keyring => Had::new(with, None, self.key_in_keyring()?),
            With::Key => Had::new(with, None, self.read_key()?),
            With::Passphrase => {
                let kdf = Kdf::new()?;
                let key = kdf.key(&self.read_passphrase()?)?;
                Had::new(with, Some(kdf), key)
            }
        };
        keys.keep(&one);
        Ok(one)
    }

    /// The key that the keyring has for this folder; a new one is made, and read back.
    fn key_in_keyring(&self) -> Result<DataKey> {
        let alone = self.alone()?;
        // Before there is one: what ends this in between leaves no key that nobody looks for.
        alone.set_len(1).map_err(|error| self.cannot_lock(error))?;
        if let Some(key) = keyring::key_of_folder(&self.folder)? {
            return Ok(key);
        }
        let key = DataKey::new()?;
        keyring::keep(&self.folder, &key)?;
        match keyring::key_of_id(&key.id())? {
            Some(kept) if kept.bytes() == key.bytes() => Ok(kept),
            _ => Err(Error::failed("the OS keyring took a key and does not give it back")
                .with_hint("see to the keyring, or set `store = \"file\"`")),
        }
    }

    /// Makes the folder's key, or takes it away, alone among all processes.
    fn alone(&self) -> Result<File> {
        platform::make_folder(&self.folder).map_err(|error| self.cannot_lock(error))?;
        let lock = platform::open_lock(&self.lock_path()).map_err(|error| self.cannot_lock(error))?;
        let begun = Instant::now();
        loop {
            match lock.try_lock() {
                // A file system without locks: others on it are as rare as a first login.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(lock),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::unavailable(
                        "another process makes the key of the records, and does not end",
                    )
                    .with_hint("end it, or try again"));
                }
            }
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.folder.join(".keyring.lock")
    }

    fn cannot_lock(&self, error: std::io::Error) -> Error {
        Error::failed(format!("cannot lock {}: {error}", self.lock_path().display())).with_source(error)
    }

    fn read_passphrase(&self) -> Result<Secret> {
        let source = self.passphrase.as_ref().ok_or_else(|| not_configured(With::Passphrase))?;
        secret::read(source, "passphrase", &self.env)
    }

    fn read_key(&self) -> Result<DataKey> {
        let source = self.key.as_ref().ok_or_else(|| not_configured(With::Key))?;
        DataKey::read(secret::read(source, "key", &self.env)?.expose()).ok_or_else(|| {
            Error::configuration(
                "the key that seals records must be 32 bytes, in base64 or as hexadecimal digits",
            )
            .with_hint("make one: head -c 32 /dev/urandom | base64")
        })
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sealer for Vault {
    fn configured(&self) -> Option<&str> {
        self.configured.map(With::name)
    }

    fn probe(&self, with: &str, provider: &str) -> Result<()> {
        let keys = &mut *self.keys();
        let one = self.key_to_seal(with.parse()?, provider, keys)?;
        keys.choose(provider, &one);
        Ok(())
    }

    fn seal(&self, with: &str, provider: &str, record: &[u8]) -> Result<Envelope> {
        let with = with.parse()?;
        let keys = &mut *self.keys();
        // It was probed, or opened: nothing is asked for between an exchange and its save.
        let one = match keys.chosen(provider, with) {
            Some(one) => one.clone(),
            None => self.key_to_seal(with, provider, keys)?,
        };
        let kdf: Option<Value> = one.kdf.as_ref().and_then(Kdf::value);
        cipher::seal(&one.key, Envelope::new(provider, with.name(), &one.id, kdf), record)
    }

    fn open(&self, envelope: &Envelope) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let keys = &mut *self.keys();
        let one = self.key_of(envelope, keys)?;
        let opened = cipher::open(&one.key, envelope);
        if opened.is_some() {
            keys.choose(&envelope.provider, &one);
        }
        Ok(opened)
    }
}

/// A salt is used again where others have one; not one that somebody has made weak.
fn is_hard_enough(envelope: &Envelope) -> bool {
    envelope.with != With::Passphrase.name()
        || Kdf::read(envelope.kdf.as_ref()).is_some_and(|kdf| kdf.is_as_hard())
}

fn not_there(envelope: &Envelope) -> Error {
    Error::failed(format!(
        "the record is sealed, and the OS keyring does not have its key ({})",
        broker_core::sanitize(&envelope.key)
    ))
    .with_hint(format!(
        "restore the keyring it was written with; if that is gone for good, {}",
        give_up(envelope)
    ))
}

fn wrong(with: With, envelope: &Envelope) -> Error {
    let (name, provider) = (with.name(), broker_core::sanitize(&envelope.provider));
    let message = format!("the record of {provider} was sealed with another {name} than the configured one");
    Error::failed(message).with_hint(format!(
        "give `store` the {name} that it was sealed with; if that is gone for good, {}",
        give_up(envelope)
    ))
}

fn give_up(envelope: &Envelope) -> String {
    format!("remove {} and log in again", envelope.file.display())
}

fn not_configured(with: With) -> Error {
    let name = with.name();
    Error::failed(format!("the record is sealed with a {name}, and the configuration names none")).with_hint(format!(
        "set `store = {{ {name} = {{ file = \"PATH\" }} }}` as it was; to keep records otherwise after that: broker store migrate"
    ))
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("folder", &self.folder)
            .field("configured", &self.configured)
            .field("passphrase", &self.passphrase)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
