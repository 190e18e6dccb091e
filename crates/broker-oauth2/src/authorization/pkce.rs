//! The secrets of one login: `state` (RFC 6749 section 10.12) and the PKCE code verifier (RFC 7636).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Error, ErrorCode, Result, Secret};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The size of a random secret: 256 bits (RFC 7636 section 4.1).
const BYTES: usize = 32;

/// Returns a random secret from the system's generator.
pub(super) fn random() -> Result<Secret> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| {
        Error::new(ErrorCode::Internal, "cannot get random numbers from the operating system")
    })?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

/// A PKCE code verifier. The browser gets only the verifier's hash, so a stolen authorization code is useless.
pub(super) struct Verifier(Secret);

impl Verifier {
    pub(super) fn new() -> Result<Self> {
        random().map(Self)
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// Returns the code challenge by the method `S256` (RFC 7636 section 4.2).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose()))
    }
}

/// Compares two secrets in constant time.
pub(super) fn same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn code_challenge_matches_the_example_of_rfc_7636() {
        let verifier = Verifier(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn random_secrets_differ() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert!(one.expose().len() == 43 && !one.same_as(&other));
    }

    #[test]
    fn same_is_true_only_for_equal_texts() {
        assert!(same("abc", "abc"));
        for other in ["", "ab", "abcd", "abd", "bbc", "ABC"] {
            assert!(!same("abc", other), "{other}");
        }
    }
}
