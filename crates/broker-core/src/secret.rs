//! A type for secret text.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serializer};

use crate::zeroizing;

/// A secret text. `Debug` prints `[redacted]`. The memory is zeroized when the last clone is dropped.
///
/// Only [`Secret::expose`] returns the text, because the type has no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Creates a secret from text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(SecretString::from(zeroizing::exact(text.into()))))
    }

    /// Returns the secret text, which the caller must not log.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether both secrets have the same text.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }

    /// Serializes the secret text for a record file. Other files contain no secrets.
    pub(crate) fn write<S: Serializer>(secret: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
