//! Secret text that is redacted in logs and zeroized in memory. One rule says how it is read: from files, environment
//! variables, standard input, commands and the files of the services' own tools.
//!
//! - The text is UTF-8. Byte order marks at the start and line ends at the end are not part of the secret.
//! - A token has no blanks around it. A password or client secret may begin or end with a blank, so it keeps them.
//! - A secret has no line end or other control character inside, except a key in PEM and a plugin's secrets.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serializer};
use sha2::{Digest, Sha256};

use crate::token::zeroizing;

const MARK: char = '\u{feff}';

/// A secret text. `Debug` prints `[redacted]`, and only [`Secret::expose`] returns the text. The memory is zeroized when
/// the last clone is dropped.
#[derive(Clone, Default)]
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
        let text = clean(utf8(bytes)?);
        if text.is_empty() {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the secret is empty"));
        }
        Ok(Self::new(text))
    }

    /// Creates a secret from text, without byte order mark and trailing line ends. For passwords and client secrets.
    #[must_use]
    pub fn cleaned(text: &str) -> Self {
        Self::new(clean(text))
    }

    /// Creates a token from text, without byte order mark, line ends and blanks around it.
    #[must_use]
    pub fn cleaned_token(text: &str) -> Self {
        Self::new(clean(text).trim())
    }

    /// Fails with the reason if the secret is empty, or has a line end or another control character inside. A key in
    /// PEM may have several lines.
    pub fn check_line(&self) -> std::result::Result<(), &'static str> {
        let text = self.expose();
        let is_pem = text.trim_start().starts_with("-----BEGIN ");
        match text {
            "" => Err("the secret is empty"),
            _ if is_pem => Ok(()),
            _ if text.contains(['\n', '\r']) => Err("the secret has a line break inside"),
            _ if text.contains(char::is_control) => Err("the secret has a control character inside"),
            _ => Ok(()),
        }
    }

    /// Returns the secret text, which the caller must not log.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether both secrets have the same text.
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

/// Returns a short hash of a secret, to detect a changed secret.
///
/// The salt makes the fingerprints of two providers differ even if their secrets are equal. Use 16 bits for
/// passwords: one in 65,536 wrong guesses matches too, so a match does not confirm a guess. Random secrets can use 64
/// bits.
pub fn fingerprint(salt: &str, secret: &Secret, bits: u8) -> String {
    let mut hash = Sha256::new();
    hash.update(salt.as_bytes());
    hash.update([0]);
    hash.update(secret.expose().as_bytes());
    let digest = hash.finalize();
    digest.iter().take(usize::from(bits / 8)).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Removes byte order marks at the start and line ends at the end.
fn clean(text: &str) -> &str {
    text.trim_start_matches(MARK).trim_end_matches(['\r', '\n'])
}

/// Whether these bytes are UTF-16 text, which PowerShell writes.
pub fn is_utf16(bytes: &[u8]) -> bool {
    // ASCII characters in UTF-16 without a byte order mark have a zero in every second byte.
    let is_zero = |at: usize| bytes.get(at) == Some(&0);
    let is_half_zero = bytes.len() >= 4 && ((is_zero(0) && is_zero(2)) || (is_zero(1) && is_zero(3)));
    bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || is_half_zero
}

/// Whether these bytes are a sequence in DER, such as a key or a PKCS#12 file.
fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, 0x81..=0x84, ..] => true,
        [0x30, length, rest @ ..] => usize::from(*length) == rest.len(),
        _ => false,
    }
}

/// Returns the text of a file or of a program's output. Fails if the text is not UTF-8, with the name of UTF-16. For
/// DER, the error has the kind [`ErrorKind::Unsupported`].
pub fn utf8(bytes: &[u8]) -> io::Result<&str> {
    let wrong = |what: &str| Err(io::Error::new(ErrorKind::InvalidData, what));
    if is_utf16(bytes) {
        return wrong("the text is UTF-16: save it as UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) if is_der(bytes) => {
            Err(io::Error::new(ErrorKind::Unsupported, "the format is DER or PKCS#12, which is not text"))
        }
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            wrong(&format!("line {line} is not UTF-8 text"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn secret_text_has_no_mark_and_no_line_ends() {
        for (text, secret, token) in [
            ("\u{feff}a b\r\n", "a b", "a b"),
            (" a \n\n", " a ", "a"),
            ("\u{feff} a\t", " a\t", "a"),
            ("\u{feff}\u{feff}a", "a", "a"),
            ("a\u{feff}", "a\u{feff}", "a\u{feff}"),
            ("\r\n", "", ""),
        ] {
            assert_eq!(
                (Secret::cleaned(text).expose(), Secret::cleaned_token(text).expose()),
                (secret, token)
            );
        }
        for wrong in ["", "a\nb", "a\rb", "a\0", "\x1b[0m", "a\tb"] {
            assert!(Secret::new(wrong).check_line().is_err(), "{wrong:?}");
        }
        for right in ["a", " a ", "ü", "-----BEGIN PRIVATE KEY-----\nab\n-----END PRIVATE KEY-----"] {
            assert_eq!(Secret::new(right).check_line(), Ok(()), "{right:?}");
        }
    }

    #[test]
    fn utf16_text_is_named() {
        let utf16 =
            |text: &str, order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
        for text in ["\u{feff}A=b\r\n", "A=b\r\n"] {
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                let error = utf8(&utf16(text, order)).expect_err("it is UTF-16");
                assert!(error.to_string().contains("UTF-16"), "{error}");
            }
        }
        assert!(utf8(b"a\nb\xff").expect_err("invalid").to_string().contains("line 2"));
        for der in [&b"\x30\x82\x04\xbf\x02"[..], b"\x30\x81\x87\x02", b"\x30\x03\x02\x01\xff"] {
            assert_eq!(utf8(der).expect_err("binary").kind(), ErrorKind::Unsupported);
        }
        assert_eq!(utf8("ü\0".as_bytes()).expect("valid"), "ü\0");
        assert_eq!(utf8(b"").expect("valid"), "");
    }
}
