//! What only this login knows: `state` (RFC 6749 section 10.12) and the code verifier (RFC 7636).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Error, Result, Secret};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// 256 bits (RFC 7636 section 4.1): 43 characters.
const BYTES: usize = 32;

/// A text that nobody guesses.
pub(super) fn random() -> Result<Secret> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    SystemRandom::new()
        .fill(&mut *bytes)
        .map_err(|_| Error::failed("this machine gives no random numbers: no login can be protected"))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

/// A code verifier. The browser's command line has its challenge only, so that who reads that cannot use the code.
pub(super) struct Verifier(Secret);

impl Verifier {
    pub(super) fn new() -> Result<Self> {
        random().map(Self)
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// `S256` (RFC 7636 section 4.2).
    pub(super) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.0.expose()))
    }
}

/// Whether both are the same, in a time that does not tell how much of them is.
pub(super) fn same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636 appendix B
        let verifier = Verifier(Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn every_login_has_its_own() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert!(one.expose().len() == 43 && !one.same_as(&other));
    }

    #[test]
    fn same_is_same() {
        assert!(same("abc", "abc"));
        for other in ["", "ab", "abcd", "abd", "bbc", "ABC"] {
            assert!(!same("abc", other), "{other}");
        }
    }
}
