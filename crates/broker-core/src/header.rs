//! The request header that carries a token.

use crate::Token;

/// The request header that carries a token: `Authorization: Bearer TOKEN`, unless the service uses another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The header's name.
    pub name: String,
    /// The word before the token, separated by a space: the token's type if `None`, nothing if empty.
    pub prefix: Option<String>,
}

impl Default for Header {
    /// The header of RFC 6750 section 2.1.
    fn default() -> Self {
        Self { name: "Authorization".to_owned(), prefix: None }
    }
}

impl Header {
    /// Creates a header without a prefix.
    #[must_use]
    pub fn bare(name: &str) -> Self {
        Self { name: name.to_owned(), prefix: Some(String::new()) }
    }

    /// The word before this token.
    #[must_use]
    pub fn prefix_of<'a>(&'a self, token: &'a Token) -> &'a str {
        self.prefix.as_deref().unwrap_or_else(|| token.token_type())
    }

    /// Whether it is a bearer header (RFC 6750 section 2.1).
    #[must_use]
    pub fn is_bearer(&self, token: &Token) -> bool {
        self.name.eq_ignore_ascii_case("authorization") && self.prefix_of(token) == "Bearer"
    }
}
