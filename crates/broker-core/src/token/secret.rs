//! Secret text that is redacted in logs and zeroized in memory.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serializer};

use crate::token::{secret_text, zeroizing};

/// A secret text. `Debug` prints `[redacted]`, and only [`Secret::expose`] returns the text. The memory is zeroized when
/// the last clone is dropped.
#[derive(Clone)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// The size limit, in bytes, of a secret from a file or a command.
    pub(crate) const LONGEST: u64 = 64 * 1024;

    /// Creates a secret from text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Arc::new(SecretString::from(zeroizing::exact(text.into()))))
    }

    /// Creates a secret from a file or a command's output, without byte order mark and trailing line ends. Fails if the
    /// text is empty, too long or not UTF-8.
    pub(crate) fn from_bytes(bytes: &[u8]) -> io::Result<Self> {
        if bytes.len() as u64 > Self::LONGEST {
            return Err(io::Error::new(ErrorKind::InvalidData, "the secret is longer than 64 KiB"));
        }
        let text = secret_text::clean(secret_text::utf8(bytes)?);
        if text.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the secret is empty"));
        }
        Ok(Self::new(text))
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

    /// Serializes the secret text for a record file.
    pub(crate) fn write<S: Serializer>(secret: &Self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    /// Serializes the secret of a field that may be absent, like [`Secret::write`].
    #[expect(clippy::ref_option, reason = "serde passes this type")]
    pub(crate) fn write_optional<S: Serializer>(
        secret: &Option<Self>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&secret.as_ref().map(Self::expose), serializer)
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
