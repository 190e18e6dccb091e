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

pub use keyring::Keyring;
pub use vault::{KeySource, Vault};
