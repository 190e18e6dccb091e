//! The keys that encrypt (seal) records.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use broker_core::{Error, ErrorCode, Result};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The length of a sealing key in bytes.
pub(crate) const LENGTH: usize = 32;

/// A sealing key, which `Zeroizing` erases from memory on drop.
#[derive(Clone)]
pub(crate) struct DataKey {
    pub(crate) bytes: Zeroizing<[u8; LENGTH]>,
}

impl DataKey {
    pub(crate) fn new() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        random(bytes.as_mut_slice())?;
        Ok(Self { bytes })
    }

    /// Parses a key of 32 bytes in base64 or hexadecimal.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bytes = Zeroizing::new(if text.len() == 2 * LENGTH {
            let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
            (0..LENGTH).map(|index| digit(2 * index)).collect::<Option<Vec<u8>>>()?
        } else {
            let padded = Zeroizing::new(format!("{}=", text.trim_end_matches('=')));
            STANDARD.decode(padded.as_bytes()).or_else(|_| URL_SAFE.decode(padded.as_bytes())).ok()?
        });
        let key = <[u8; LENGTH]>::try_from(bytes.as_slice()).ok()?;
        Some(Self { bytes: Zeroizing::new(key) })
    }

    /// Returns the key's fingerprint, which identifies the key in sealed records.
    pub(crate) fn id(&self) -> String {
        let hash =
            Sha256::new().chain_update("broker data key\0").chain_update(self.bytes.as_slice()).finalize();
        format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|at| hash[at])))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Fills `bytes` with cryptographically secure random numbers.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| Error::new(ErrorCode::Internal, format!("cannot get random numbers: {error}")))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn sealing_key_is_parsed_from_base64_and_hexadecimal() {
        let bytes: [u8; LENGTH] = std::array::from_fn(|at| u8::try_from(at * 8 + 3).expect("a byte"));
        let digits = bytes.map(|byte| format!("{byte:02X}")).concat();
        let key = DataKey { bytes: Zeroizing::new(bytes) };
        let (usual, in_urls) = (STANDARD.encode(bytes), URL_SAFE.encode(bytes));
        let bare = usual.trim_end_matches('=').to_owned();
        for text in [&digits, &usual, &in_urls, &bare, &format!(" {usual}\n")] {
            assert_eq!(DataKey::parse(text).expect("a key").id(), key.id(), "{text}");
        }
        let wrong = ["", "short", &digits[1..], &format!("{digits}00"), &usual[4..], &"ä".repeat(32)];
        assert!(wrong.iter().all(|text| DataKey::parse(text).is_none()));
        assert_eq!(format!("{key:?}"), "[redacted]");
    }
}
