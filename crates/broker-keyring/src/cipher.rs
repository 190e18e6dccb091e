//! Encrypts and decrypts sealed records.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Envelope, Error, ErrorCode, Result};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::key::{DataKey, random};

/// The length of a nonce in bytes. Random nonces of this length do not repeat.
const NONCE: usize = 24;

/// Encrypts `plain` into the envelope, and authenticates the envelope's other fields.
pub(crate) fn seal(key: &DataKey, mut envelope: Envelope, plain: &[u8]) -> Result<Envelope> {
    let mut nonce = [0; NONCE];
    random(&mut nonce)?;
    let bound = envelope.bound();
    let sealed = cipher(key).encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &bound });
    let sealed = sealed.map_err(|_| Error::new(ErrorCode::Internal, "cannot encrypt the record"))?;
    envelope.nonce = STANDARD.encode(nonce);
    envelope.sealed = STANDARD.encode(sealed);
    Ok(envelope)
}

/// Decrypts an envelope. Returns `None` if the envelope was changed, or sealed with another key.
pub(crate) fn open(key: &DataKey, envelope: &Envelope) -> Option<Zeroizing<Vec<u8>>> {
    let nonce = <[u8; NONCE]>::try_from(STANDARD.decode(&envelope.nonce).ok()?).ok()?;
    let sealed = STANDARD.decode(&envelope.sealed).ok()?;
    let bound = envelope.bound();
    cipher(key).decrypt(&XNonce::from(nonce), Payload { msg: &sealed, aad: &bound }).ok().map(Zeroizing::new)
}

fn cipher(key: &DataKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(<&Key>::from(&*key.bytes))
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    fn sealed(key: &DataKey) -> Envelope {
        seal(key, Envelope::new("a", "key", &key.id(), None), b"the record").expect("sealed")
    }

    #[test]
    fn record_is_not_decrypted_with_another_key() {
        let (key, other) = (DataKey::new().expect("a key"), DataKey::new().expect("a key"));
        let envelope = sealed(&key);
        assert_eq!(open(&key, &envelope).expect("opened").as_slice(), b"the record");
        assert!(open(&other, &envelope).is_none());
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
            assert!(open(&key, &envelope).is_none(), "{at}");
        }
    }
}
