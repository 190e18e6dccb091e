//! The records in files: how each is sealed, and moving them to the configured way.

use std::path::PathBuf;
use std::time::Duration;

use broker_core::{FileStore, Migrated, Result, StorageFormat};

use crate::Config;

/// How long to wait for another process that renews or logs in.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

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

    /// The providers that have a record, and how each is kept, or why that cannot be told; nothing is opened for that.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Result<StorageFormat>)> {
        let kept = |name: String| {
            let kept = self.store.kept(&name).map_err(|error| error.for_provider(&name)).transpose()?;
            Some((name, kept))
        };
        self.store.names().into_iter().filter_map(kept).collect()
    }

    /// What was set aside because it could not be read, and may be plain text.
    #[must_use]
    pub fn plain_quarantined(&self) -> Vec<PathBuf> {
        self.store.plain_quarantined()
    }

    /// Writes a provider's record in the configured way. Whatever ends this, the record is there in the old way or in
    /// the new. Who has its lock is waited for, up to 2 minutes; `tell` is told who, if that takes long.
    pub async fn migrate(&self, provider: &str, tell: impl Fn(&str) + Send) -> Result<Migrated> {
        let migrated = self.store.migrate(provider, WAIT_LIMIT, tell).await;
        migrated.map_err(|error| error.for_provider(provider))
    }

    /// Takes the key of these records out of the OS keyring if none of them needs it; says whether one was there. The
    /// keyring is only asked if a key was put there.
    pub fn forget_unused_key(&self) -> Result<bool> {
        #[cfg(feature = "sealed")]
        if self.vault.may_have_key() {
            // Who logs in now may be about to seal with it.
            return Ok(self.store.while_idle(|| self.vault.forget_unused())?.unwrap_or(false));
        }
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
