//! The record files: how each is stored, and their migration to the configured format.

use std::path::PathBuf;

use broker_core::{Env, FallbackStore, FileStore, Migrated, Result, StorageFormat};

use crate::WAIT_LIMIT;
use crate::config::Config;

/// Lists the record files, and rewrites them in the configured storage format.
#[derive(Debug)]
pub struct Records {
    pub(crate) store: FallbackStore,
    #[cfg(feature = "sealed")]
    vault: std::sync::Arc<broker_keyring::Vault>,
}

impl Records {
    #[cfg(feature = "sealed")]
    pub(crate) fn new(folder: PathBuf, env: &dyn Env, config: &Config) -> Self {
        let files = FileStore::new(&folder);
        // Existing records need these secrets even if `BROKER_STORE` overrides `store`.
        let (passphrase, key) = (config.store.passphrase.clone(), config.store.key.clone());
        let source = config.store.name().parse().ok();
        let vault = broker_keyring::Vault::new(folder, source, passphrase, key, config.env.clone());
        let vault = std::sync::Arc::new(vault);
        Self { store: FallbackStore::new(files.with_sealer(vault.clone()), env), vault }
    }

    #[cfg(not(feature = "sealed"))]
    pub(crate) fn new(folder: PathBuf, env: &dyn Env, _config: &Config) -> Self {
        Self { store: FallbackStore::new(FileStore::new(folder), env) }
    }

    /// Returns the storage format of each provider's record, or why the format is unknown. Decrypts no record.
    pub fn list(&self) -> Result<Vec<(String, Result<StorageFormat>)>> {
        let format = |name: String| {
            let format =
                self.store.storage_format(&name).map_err(|error| error.for_provider(&name)).transpose()?;
            Some((name, format))
        };
        Ok(self.store.names()?.into_iter().filter_map(format).collect())
    }

    /// Returns invalid record files that the broker renamed (quarantined) and that may contain plain-text secrets.
    pub fn plain_quarantined(&self) -> Vec<PathBuf> {
        self.store.plain_quarantined()
    }

    /// Rewrites a provider's record in the configured format. An interruption leaves the old or the new record. Waits
    /// up to 2 minutes for the lock. If the lock is not free soon, `notify` gets a line that names the locking process.
    pub async fn migrate(&self, provider: &str, notify: impl Fn(&str) + Send) -> Result<Migrated> {
        let migrated = self.store.migrate(provider, WAIT_LIMIT, notify).await;
        migrated.map_err(|error| error.for_provider(provider))
    }

    /// Removes the encryption key from the OS keyring if no record needs this key. Returns whether a key was removed.
    /// Calls the keyring only if the broker may have stored a key there.
    pub fn forget_unused_key(&self) -> Result<bool> {
        #[cfg(feature = "sealed")]
        if self.vault.may_have_key() {
            // A concurrent login may encrypt a new record with the keyring's key. If so, the key is not removed.
            return Ok(self.store.while_idle(|| self.vault.forget_unused())?.unwrap_or(false));
        }
        Ok(false)
    }

    /// Returns the state of the OS keyring without a prompt, within a few seconds: `unlocked`, `locked`, or `absent` if no
    /// keyring responds or this program was built without keyring support.
    pub fn keyring(&self) -> &'static str {
        #[cfg(feature = "sealed")]
        return broker_keyring::keyring_state();
        #[cfg(not(feature = "sealed"))]
        "absent"
    }
}
