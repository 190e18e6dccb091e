//! Text that must not be seen.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serializer};

use crate::zeroizing;

/// A secret: it prints as `[redacted]`, is wiped when its last copy is dropped, and is cheap to clone.
///
/// There is no `Display` and no `Serialize`: whoever needs the text says so with [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// Takes text over as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(SecretString::from(zeroizing::exact(text.into()))))
    }

    /// The text itself. What is done with it from here is the caller's responsibility.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether both hold the same text.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }

    /// For the record file, the one place a secret is written to.
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
