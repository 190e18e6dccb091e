//! Fingerprints: short hashes that show whether a secret has changed, without revealing the secret.

use sha2::{Digest, Sha256};

use crate::token::Secret;

/// Returns a short hash of a secret, to detect a changed secret.
///
/// The salt makes the fingerprints of two providers differ even if their secrets are equal. Use 16 bits for
/// passwords: one in 65,536 wrong guesses matches too, so a match does not confirm a guess. Random secrets can use 64
/// bits.
#[must_use]
pub fn fingerprint(salt: &str, secret: &Secret, bits: u8) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update([0]);
    hash.update(secret.expose().as_bytes());
    let digest = hash.finalize();
    digest.iter().take(usize::from(bits / 8)).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
