//! The records in files: how each is sealed, and moving them to the configured way.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use broker_core::{Error, FileStore, Kept, Migrated, Result};

use crate::Config;

/// How long to wait for another process that renews or logs in.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

/// Between two looks at a lock.
const PAUSE: Duration = Duration::from_millis(20);

/// In which state the OS keyring is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyringState {
    /// It answers, and is open.
    Unlocked,
    /// It answers, and is locked.
    Locked,
    /// Nobody answers, or this program cannot ask.
    Absent,
}

/// The records in files.
#[derive(Debug)]
pub struct Records {
    store: FileStore,
    configured: &'static str,
    #[cfg(feature = "sealed")]
    vault: std::sync::Arc<broker_keyring::Vault>,
}

impl Records {
    #[cfg(feature = "sealed")]
    pub(crate) fn new(store: FileStore, folder: PathBuf, config: &Config) -> Self {
        let configured = config.store().name();
        let [passphrase, key] = config.store().sources();
        let vault = broker_keyring::Vault::new(folder, configured.parse().ok(), config.env.clone());
        let vault = std::sync::Arc::new(vault.with_passphrase(passphrase).with_key(key));
        Self { store: store.with_sealer(vault.clone()), configured, vault }
    }

    #[cfg(not(feature = "sealed"))]
    pub(crate) fn new(store: FileStore, _folder: PathBuf, config: &Config) -> Self {
        Self { store, configured: config.store().name() }
    }

    pub(crate) fn into_store(self) -> FileStore {
        self.store
    }

    /// How new logins are kept: `file`, `keyring`, `passphrase` or `key`.
    #[must_use]
    pub fn configured(&self) -> &'static str {
        self.configured
    }

    /// The providers that have a record, and how each is kept; nothing is opened for that.
    pub fn list(&self) -> Result<Vec<(String, Kept)>> {
        let kept = |name: String| match self.store.kept(&name) {
            Ok(kept) => kept.map(|kept| Ok((name, kept))),
            Err(error) => Some(Err(error.of_provider(&name))),
        };
        self.store.names().into_iter().filter_map(kept).collect()
    }

    /// Writes a provider's record in the configured way. Whatever ends this, the record is there in the old way or in
    /// the new. Who has its lock is waited for, up to 2 minutes.
    pub async fn migrate(&self, provider: &str) -> Result<Migrated> {
        let begun = Instant::now();
        loop {
            match self.store.migrate(provider).await.map_err(|error| error.of_provider(provider))? {
                Migrated::Busy(holder) if begun.elapsed() > WAIT_LIMIT => {
                    let holder = holder.unwrap_or_else(|| "another process".to_owned());
                    let error = Error::unavailable(format!("{holder} has held the lock for longer than 2m"));
                    return Err(error.with_hint("end it, or try again").of_provider(provider));
                }
                Migrated::Busy(_) => std::thread::sleep(PAUSE),
                came => return Ok(came),
            }
        }
    }

    /// Takes the key of these records out of the OS keyring if none of them needs it; says whether one was there.
    pub fn forget_unused_key(&self) -> Result<bool> {
        #[cfg(feature = "sealed")]
        return self.vault.forget_unused();
        #[cfg(not(feature = "sealed"))]
        Ok(false)
    }

    /// In which state the OS keyring is. Nobody is prompted, and it takes a few seconds at most.
    #[must_use]
    pub fn keyring(&self) -> KeyringState {
        #[cfg(feature = "sealed")]
        return match broker_keyring::Keyring::look() {
            broker_keyring::Keyring::Unlocked => KeyringState::Unlocked,
            broker_keyring::Keyring::Locked => KeyringState::Locked,
            broker_keyring::Keyring::Absent => KeyringState::Absent,
        };
        #[cfg(not(feature = "sealed"))]
        KeyringState::Absent
    }
}
