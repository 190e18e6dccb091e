//! The header of a request that a token goes into.

use crate::Token;

/// The header of a request that a token goes into: `Authorization: Bearer TOKEN`, unless the service has another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// What stands before the token, with a blank between: the token's type if `None`, nothing if empty.
    pub prefix: Option<String>,
}

impl Default for Header {
    /// RFC 6750 section 2.1.
    fn default() -> Self {
        Self { name: "Authorization".to_owned(), prefix: None }
    }
}

impl Header {
    /// A header of a service's own, with nothing before the token.
    #[must_use]
    pub fn bare(name: &str) -> Self {
        Self { name: name.to_owned(), prefix: Some(String::new()) }
    }

    /// What stands before the token.
    #[must_use]
    pub fn prefix_of<'a>(&'a self, token: &'a Token) -> &'a str {
        self.prefix.as_deref().unwrap_or_else(|| token.token_type())
    }

    /// Whether it is how programs send a bearer token (RFC 6750 section 2.1).
    #[must_use]
    pub fn is_bearer(&self, token: &Token) -> bool {
        self.name.eq_ignore_ascii_case("authorization") && self.prefix_of(token) == "Bearer"
    }
}
