//! Fingerprints of secrets: short hashes that show a change but do not reveal the secret.

use sha2::{Digest, Sha256};

use crate::Secret;

/// Returns a short hash of a secret, to notice that another secret is configured.
///
/// With different salts, equal secrets of two providers have different fingerprints. Use 16 bits for passwords: one
/// guess in 65,536 matches by chance, so a match confirms no guess. Random secrets can use 64.
#[must_use]
pub fn fingerprint(salt: &str, secret: &Secret, bits: u8) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update([0]);
    hash.update(secret.expose().as_bytes());
    let digest = hash.finalize();
    digest.iter().take(usize::from(bits / 8)).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
