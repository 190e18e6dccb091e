//! The secrets of one login: `state` (RFC 6749 section 10.12) and the PKCE code verifier (RFC 7636).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{Error, ErrorCode, Result, Secret};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Returns a random secret of `BYTES` bytes in base64url.
pub(crate) fn random<const BYTES: usize>() -> Result<Secret> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| {
        Error::new(ErrorCode::Internal, "cannot get random numbers from the operating system")
    })?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(*bytes)))
}

/// Returns the PKCE code challenge for a code verifier, by the method `S256` (RFC 7636 section 4.2).
pub(crate) fn challenge(verifier: &Secret) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose()))
}

/// Compares two secrets in constant time.
pub(super) fn constant_time_eq(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differs) == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn code_challenge_matches_the_example_of_rfc_7636() {
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
        assert_eq!(challenge(&verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn two_random_secrets_differ() {
        let (one, other) = (random::<32>().unwrap(), random::<32>().unwrap());
        assert!(one.expose().len() == 43 && !one.same_as(&other));
    }

    #[test]
    fn constant_time_comparison_is_true_for_equal_texts_only() {
        assert!(constant_time_eq("abc", "abc"));
        for other in ["", "ab", "abcd", "abd", "bbc", "ABC"] {
            assert!(!constant_time_eq("abc", other), "{other}");
        }
    }
}
