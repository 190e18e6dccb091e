//! The form of `expires_in` in token responses.

use serde_json::Value;

/// The form of `expires_in`. RFC 6749 section 5.1 only recommends the field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiresIn {
    /// A number, as in the RFC.
    #[default]
    Number,
    /// A number in quotes.
    String,
    /// Missing.
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
