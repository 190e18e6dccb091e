use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::token::{Derived, Token};

/// The HTTP request header that carries a token. The default is `Authorization: Bearer TOKEN`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The word before the token, such as `Bearer`. `None` means the token's type; empty means no word.
    pub prefix: Option<String>,
}

impl Default for Header {
    /// Returns the `Authorization` header of RFC 6750 section 2.1.
    fn default() -> Self {
        Self { name: "Authorization".to_owned(), prefix: None }
    }
}

impl Header {
    /// Creates a header whose value is the token alone.
    #[must_use]
    pub fn bare(name: &str) -> Self {
        Self { name: name.to_owned(), prefix: Some(String::new()) }
    }

    /// Returns the word before this token in the header's value, such as `Bearer`.
    pub fn prefix_of<'a>(&'a self, token: &'a Token) -> &'a str {
        self.prefix.as_deref().unwrap_or_else(|| token.token_type())
    }

    /// Whether the header has the form `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
    pub fn is_bearer(&self, token: &Token) -> bool {
        self.name.eq_ignore_ascii_case("authorization") && self.prefix_of(token) == "Bearer"
    }
}

impl Token {
    /// Returns the header that carries the token. The token of [`Token::new`] has the default header.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// Returns the name of the header that carries the token: `Authorization`, unless the provider has another.
    pub fn header_name(&self) -> HeaderName {
        self.header().name.parse().unwrap_or(http::header::AUTHORIZATION)
    }

    /// Returns the value of the header [`Token::header_name`], such as `Bearer TOKEN` (RFC 6750 section 2.1), marked
    /// sensitive. The value is empty for AWS keys and cookies ([`Derived`]), and for a secret with control characters,
    /// which no token of the broker has.
    pub fn authorization(&self) -> HeaderValue {
        let prefix = self.header().prefix_of(self);
        let value = match prefix {
            Derived::AWS | Derived::COOKIE => None,
            "" => sensitive(&[self.secret().expose()]),
            _ => sensitive(&[prefix, " ", self.secret().expose()]),
        };
        value.unwrap_or_else(|| HeaderValue::from_static(""))
    }
}

/// Returns a header value that is hidden in `Debug` and zeroized when dropped; `None` for control characters.
pub(crate) fn sensitive(parts: &[&str]) -> Option<HeaderValue> {
    let bytes = Bytes::from_owner(Zeroizing::new(parts.concat().into_bytes()));
    let mut value = HeaderValue::from_maybe_shared(bytes).ok()?;
    value.set_sensitive(true);
    Some(value)
}
