//! The keys that encrypt (seal) and decrypt records.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use broker_core::{Envelope, Error, ErrorCode, Result};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The length of a sealing key in bytes.
pub(crate) const LENGTH: usize = 32;

/// The length of a nonce in bytes. Random nonces of this length do not repeat.
const NONCE: usize = 24;

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

    /// Encrypts `plain` into the envelope, and authenticates the envelope's other fields.
    pub(crate) fn seal(&self, mut envelope: Envelope, plain: &[u8]) -> Result<Envelope> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        let bound = envelope.bound();
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &bound });
        let sealed = sealed.map_err(|_| Error::new(ErrorCode::Internal, "cannot encrypt the record"))?;
        envelope.nonce = STANDARD.encode(nonce);
        envelope.sealed = STANDARD.encode(sealed);
        Ok(envelope)
    }

    /// Decrypts an envelope. Returns `None` if the envelope was changed, or sealed with another key.
    pub(crate) fn open(&self, envelope: &Envelope) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = <[u8; NONCE]>::try_from(STANDARD.decode(&envelope.nonce).ok()?).ok()?;
        let sealed = STANDARD.decode(&envelope.sealed).ok()?;
        let bound = envelope.bound();
        let plain = self.cipher().decrypt(&XNonce::from(nonce), Payload { msg: &sealed, aad: &bound });
        plain.ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(<&Key>::from(&*self.bytes))
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

    fn sealed(key: &DataKey) -> Envelope {
        key.seal(Envelope::new("a", "key", &key.id(), None), b"the record").expect("sealed")
    }

    #[test]
    fn record_is_not_decrypted_with_another_key() {
        let (key, other) = (DataKey::new().expect("a key"), DataKey::new().expect("a key"));
        let envelope = sealed(&key);
        assert_eq!(key.open(&envelope).expect("opened").as_slice(), b"the record");
        assert!(other.open(&envelope).is_none());
        assert_ne!(sealed(&key).sealed, envelope.sealed, "sealing a record twice must use two nonces");
    }

    #[test]
    fn changed_encrypted_record_is_not_decrypted() {
        let key = DataKey::new().expect("a key");
        let changes: [fn(&mut Envelope); 6] = [
            |envelope| envelope.provider = "b".to_owned(),
            |envelope| envelope.with = "passphrase".to_owned(),
            |envelope| envelope.key.push('0'),
            |envelope| envelope.kdf = Some(serde_json::json!({})),
            |envelope| envelope.nonce = STANDARD.encode([0; NONCE]),
            |envelope| envelope.sealed = STANDARD.encode([0; 40]),
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut envelope = sealed(&key);
            change(&mut envelope);
            assert!(key.open(&envelope).is_none(), "{at}");
        }
    }
}
