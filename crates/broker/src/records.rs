//! The records in files: how each is stored, and migrating them to the configured format.

use std::path::PathBuf;
use std::time::Duration;

use broker_core::{FileStore, Migrated, Result, StorageFormat};

use crate::Config;

/// How long to wait for another process that renews or logs in.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

/// The state of the OS keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyringState {
    /// It answers and is unlocked.
    Unlocked,
    /// It answers and is locked.
    Locked,
    /// It does not answer, or this program has no support for it.
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

    /// Returns how new logins are stored: `file`, `keyring`, `passphrase` or `key`.
    #[must_use]
    pub fn configured(&self) -> &'static str {
        self.configured
    }

    /// Returns the providers that have a record and how each is stored, or why that is unknown. Opens no sealed record.
    #[must_use]
    pub fn list(&self) -> Vec<(String, Result<StorageFormat>)> {
        let format = |name: String| {
            let format =
                self.store.storage_format(&name).map_err(|error| error.for_provider(&name)).transpose()?;
            Some((name, format))
        };
        self.store.names().into_iter().filter_map(format).collect()
    }

    /// Returns the quarantined files, which may be plain text.
    #[must_use]
    pub fn plain_quarantined(&self) -> Vec<PathBuf> {
        self.store.plain_quarantined()
    }

    /// Writes a provider's record in the configured format. An interruption leaves it in the old or in the new format.
    /// Waits up to 2 minutes for the lock; `notify` gets a line that names its holder if that takes long.
    pub async fn migrate(&self, provider: &str, notify: impl Fn(&str) + Send) -> Result<Migrated> {
        let migrated = self.store.migrate(provider, WAIT_LIMIT, notify).await;
        migrated.map_err(|error| error.for_provider(provider))
    }

    /// Removes the key from the OS keyring if no record needs it; returns whether there was one. Asks the keyring only if
    /// a key was stored there.
    pub fn forget_unused_key(&self) -> Result<bool> {
        #[cfg(feature = "sealed")]
        if self.vault.may_have_key() {
            // A login at the same time may be about to seal with it.
            return Ok(self.store.while_idle(|| self.vault.forget_unused())?.unwrap_or(false));
        }
        Ok(false)
    }

    /// Returns the state of the OS keyring. Does not prompt, and takes a few seconds at most.
    #[must_use]
    pub fn keyring(&self) -> KeyringState {
        #[cfg(feature = "sealed")]
        return match broker_keyring::Keyring::state() {
            broker_keyring::Keyring::Unlocked => KeyringState::Unlocked,
            broker_keyring::Keyring::Locked => KeyringState::Locked,
            broker_keyring::Keyring::Absent => KeyringState::Absent,
        };
        #[cfg(not(feature = "sealed"))]
        KeyringState::Absent
    }
}
