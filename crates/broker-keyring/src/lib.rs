//! Seals records with XChaCha20-Poly1305 before they are written. The key is in the keyring of the desktop session, is
//! derived from a passphrase, or is stored by the user.
//!
//! All records of a folder with the same key source have the same key. A process reads the key once, when the process
//! opens or seals the first record.

mod cipher;
mod key;
#[cfg(all(feature = "keyring", target_os = "linux"))]
mod keyring;
#[cfg(not(all(feature = "keyring", target_os = "linux")))]
#[path = "no_keyring.rs"]
mod keyring;
mod passphrase;
mod secret;
mod vault;

use std::time::Duration;

pub use vault::{KeySource, Vault};

/// The time limit of a call to the keyring.
const KEYRING_TIMEOUT: Duration = Duration::from_secs(5);

/// The state of the desktop session's keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// The keyring is unlocked, so the broker can read its key.
    Unlocked,
    /// The keyring is locked.
    Locked,
    /// The keyring does not respond.
    Absent,
}

impl Keyring {
    /// Returns the state of the keyring within a few seconds, without a prompt to the user.
    #[must_use]
    pub fn state() -> Self {
        keyring::state()
    }
}
