//! Key derivation from a passphrase with Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Error, ErrorCode, Result, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::key::{DataKey, LENGTH, random};

/// The minimum cost of Argon2id that OWASP recommends: memory in KiB, and passes.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// The largest Argon2id parameters that the broker accepts in a record: 1 GiB of memory, and 64 passes.
const MAX_MEMORY: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 64;

/// The Argon2id parameters of a key, which the sealed record contains in plain text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kdf {
    algorithm: String,
    /// The memory that Argon2id uses, in KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
    /// The salt in base64.
    salt: String,
}

impl Kdf {
    /// Creates the default Argon2id parameters with a new salt.
    pub(crate) fn new() -> Result<Self> {
        let mut salt = [0; 16];
        random(&mut salt)?;
        let (algorithm, salt) = ("argon2id".to_owned(), STANDARD.encode(salt));
        Ok(Self { algorithm, memory: MEMORY, passes: PASSES, lanes: 1, salt })
    }

    /// Reads the Argon2id parameters in a sealed record. Returns `None` if this version does not support them.
    pub(crate) fn read(value: Option<&Value>) -> Option<Self> {
        let kdf: Self = serde_json::from_value(value?.clone()).ok()?;
        let is_supported =
            kdf.algorithm == "argon2id" && kdf.memory <= MAX_MEMORY && kdf.passes <= MAX_PASSES;
        Some(kdf).filter(|_| is_supported)
    }

    pub(crate) fn value(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }

    /// Whether the key derivation parameters are at least as strong as the default parameters.
    pub(crate) fn is_strong(&self) -> bool {
        self.memory >= MEMORY && self.passes >= PASSES && self.lanes == 1 && self.salt.len() >= 16
    }

    pub(crate) fn key(&self, passphrase: &Secret) -> Result<DataKey> {
        let error = || Error::new(ErrorCode::StoreSealed, "the record has invalid key derivation parameters");
        let salt = STANDARD.decode(&self.salt).map_err(|_| error())?;
        let params = Params::new(self.memory, self.passes, self.lanes, Some(LENGTH)).map_err(|_| error())?;
        let mut bytes = Zeroizing::new([0; LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose().as_bytes(), &salt, bytes.as_mut_slice())
            .map_err(|_| error())?;
        Ok(DataKey { bytes })
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn derived_key_depends_on_passphrase_and_salt() {
        let (kdf, other) = (Kdf::new().expect("a salt"), Kdf::new().expect("a salt"));
        let id = |kdf: &Kdf, text: &str| kdf.key(&Secret::new(text)).expect("a key").id();
        let read = Kdf::read(kdf.value().as_ref()).expect("the same parameters");
        assert!(kdf.is_strong());
        assert_eq!(id(&kdf, "horse"), id(&read, "horse"));
        assert_ne!(id(&kdf, "horse"), id(&kdf, "Horse"));
        assert_ne!(id(&kdf, "horse"), id(&other, "horse"));
    }

    #[test]
    fn record_with_invalid_argon2_parameters_is_rejected() {
        let kdf = Kdf::new().expect("a salt");
        let invalid = [
            Kdf { memory: MAX_MEMORY + 1, ..kdf.clone() },
            Kdf { passes: MAX_PASSES + 1, ..kdf.clone() },
            Kdf { algorithm: "scrypt".to_owned(), ..kdf.clone() },
        ];
        assert!(invalid.iter().all(|kdf| Kdf::read(kdf.value().as_ref()).is_none()));
        let weak = [Kdf { memory: 8, ..kdf.clone() }, Kdf { passes: 1, ..kdf.clone() }];
        assert!(weak.iter().all(|kdf| Kdf::read(kdf.value().as_ref()).is_some_and(|kdf| !kdf.is_strong())));
    }
}
