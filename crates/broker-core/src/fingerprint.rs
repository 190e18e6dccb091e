//! Marks: enough of a hash to see that a secret has changed, not enough to find it.

use sha2::{Digest, Sha256};

use crate::Secret;

/// A short mark of a secret, to notice later that another one is configured.
///
/// `salt` keeps equal secrets of two providers from having equal marks. With `bits` at 16, as for passwords
/// that people choose, one guess in 65,536 fits by chance, so the mark confirms no guess; machine-made
/// secrets can take 64.
#[must_use]
pub fn fingerprint(salt: &str, secret: &Secret, bits: u8) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update([0]);
    hash.update(secret.expose().as_bytes());
    let digest = hash.finalize();
    digest.iter().take(usize::from(bits / 8)).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
