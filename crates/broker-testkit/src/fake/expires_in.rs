//! Variants of `expires_in` in token responses.

use serde_json::Value;

/// How a token response contains `expires_in`, which RFC 6749 section 5.1 only recommends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiresIn {
    /// `expires_in` is a JSON number, as RFC 6749 defines.
    #[default]
    Number,
    /// `expires_in` is a JSON string of digits.
    String,
    /// The response has no `expires_in`.
    Missing,
}

impl ExpiresIn {
    pub(super) fn put(self, answer: &mut Value, seconds: u64) {
        match self {
            Self::Number => answer["expires_in"] = seconds.into(),
            Self::String => answer["expires_in"] = seconds.to_string().into(),
            Self::Missing => {}
        }
    }
}
