//! Records sealed on their way to the disk, by XChaCha20-Poly1305. The key comes from one of three places: the
//! keyring of the desktop session, which holds nothing else of ours; a passphrase; or a key that somebody keeps.
//!
//! All records of a folder that are sealed in one way have one key. It is had once a process, and only if there is
//! something to open or to seal.

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
pub use vault::{Vault, With};
