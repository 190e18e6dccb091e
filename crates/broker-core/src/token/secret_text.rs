//! How the text of a secret is read: one rule for files, environment variables, standard input, commands and the files
//! of the services' own tools.
//!
//! - The text is UTF-8. Byte order marks at the start and line ends at the end are not part of the secret.
//! - A token has no blanks around it. A password or client secret may begin or end with a blank, so it keeps them.
//! - A secret has no line end or other control character inside, except a key in PEM and a plugin's secrets.

use std::io::{Error, ErrorKind, Result};

use crate::token::Secret;

const MARK: char = '\u{feff}';

impl Secret {
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
}

/// Removes byte order marks at the start and line ends at the end.
pub(crate) fn clean(text: &str) -> &str {
    text.trim_start_matches(MARK).trim_end_matches(['\r', '\n'])
}

/// Whether these bytes are UTF-16 text, which PowerShell writes.
#[must_use]
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
pub fn utf8(bytes: &[u8]) -> Result<&str> {
    let wrong = |what: &str| Err(Error::new(ErrorKind::InvalidData, what));
    if is_utf16(bytes) {
        return wrong("the text is UTF-16: save it as UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) if is_der(bytes) => {
            Err(Error::new(ErrorKind::Unsupported, "the format is DER or PKCS#12, which is not text"))
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
