//! A key of a passphrase: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Error, Result, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::key::{DataKey, LENGTH, random};

/// What OWASP asks for at least: in KiB, and how often.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// More is not tried, whatever a file says: a GiB.
const MOST_MEMORY: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;

/// How a key is made of a passphrase. It stands open in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kdf {
    algorithm: String,
    /// In KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
    /// In base64.
    salt: String,
}

impl Kdf {
    /// With a new salt.
    pub(crate) fn new() -> Result<Self> {
        let mut salt = [0; 16];
        random(&mut salt)?;
        let (algorithm, salt) = ("argon2id".to_owned(), STANDARD.encode(salt));
        Ok(Self { algorithm, memory: MEMORY, passes: PASSES, lanes: 1, salt })
    }

    /// As it stands in a record, if this version can do that.
    pub(crate) fn read(value: Option<&Value>) -> Option<Self> {
        let kdf: Self = serde_json::from_value(value?.clone()).ok()?;
        let can = kdf.algorithm == "argon2id" && kdf.memory <= MOST_MEMORY && kdf.passes <= MOST_PASSES;
        Some(kdf).filter(|_| can)
    }

    pub(crate) fn value(&self) -> Option<Value> {
        serde_json::to_value(self).ok()
    }

    /// Whether it is as hard to guess as what is made now.
    pub(crate) fn is_as_hard(&self) -> bool {
        self.memory >= MEMORY && self.passes >= PASSES && self.lanes == 1 && self.salt.len() >= 16
    }

    pub(crate) fn key(&self, passphrase: &Secret) -> Result<DataKey> {
        let cannot = || Error::failed("no key can be made of the passphrase as the record says");
        let salt = STANDARD.decode(&self.salt).map_err(|_| cannot())?;
        let params = Params::new(self.memory, self.passes, self.lanes, Some(LENGTH)).map_err(|_| cannot())?;
        let mut key = Zeroizing::new([0; LENGTH]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.expose().as_bytes(), &salt, key.as_mut_slice())
            .map_err(|_| cannot())?;
        Ok(DataKey::of(key))
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_and_a_salt_make_one_key() {
        let (kdf, other) = (Kdf::new().expect("a salt"), Kdf::new().expect("a salt"));
        let id = |kdf: &Kdf, text: &str| kdf.key(&Secret::new(text)).expect("a key").id();
        let read = Kdf::read(kdf.value().as_ref()).expect("as it was written");
        assert!(kdf.is_as_hard());
        assert_eq!(id(&kdf, "horse"), id(&read, "horse"));
        assert_ne!(id(&kdf, "horse"), id(&kdf, "Horse"));
        assert_ne!(id(&kdf, "horse"), id(&other, "horse"));
    }

    #[test]
    fn what_a_file_asks_for_has_bounds() {
        let kdf = Kdf::new().expect("a salt");
        let endless = [
            Kdf { memory: MOST_MEMORY + 1, ..kdf.clone() },
            Kdf { passes: MOST_PASSES + 1, ..kdf.clone() },
            Kdf { algorithm: "scrypt".to_owned(), ..kdf.clone() },
        ];
        assert!(endless.iter().all(|kdf| Kdf::read(kdf.value().as_ref()).is_none()));
        let weak = [Kdf { memory: 8, ..kdf.clone() }, Kdf { passes: 1, ..kdf.clone() }];
        assert!(weak.iter().all(|kdf| Kdf::read(kdf.value().as_ref()).is_some_and(|kdf| !kdf.is_as_hard())));
    }
}
