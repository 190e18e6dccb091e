use crate::token::Token;

/// The HTTP request header that carries a token. The default is `Authorization: Bearer TOKEN`.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    #[must_use]
    pub fn prefix_of<'a>(&'a self, token: &'a Token) -> &'a str {
        self.prefix.as_deref().unwrap_or_else(|| token.token_type())
    }

    /// Whether the header has the form `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
    #[must_use]
    pub fn is_bearer(&self, token: &Token) -> bool {
        self.name.eq_ignore_ascii_case("authorization") && self.prefix_of(token) == "Bearer"
    }
}
