//! Seals records with XChaCha20-Poly1305 before they are written. The key is in the keyring of the desktop session, is
//! derived from a passphrase, or is stored by the user.
//!
//! All records of a folder with the same key source have the same key. A process reads the key once, when the process
//! opens or seals the first record.

mod key;
#[cfg(all(feature = "keyring", target_os = "linux"))]
mod keyring;
#[cfg(not(all(feature = "keyring", target_os = "linux")))]
#[path = "no_keyring.rs"]
mod keyring;
mod passphrase;
mod vault;

use std::io;
use std::time::Duration;

pub use keyring::keyring_state;
pub use vault::{KeySource, Vault};

/// The time limit of a call to the keyring.
const KEYRING_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs async work in a thread with its own runtime, because the caller may be in another runtime.
fn block_on<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> io::Result<T> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(work()))
    };
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}
