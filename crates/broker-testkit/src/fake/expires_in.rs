//! How `expires_in` is written in a token answer.

use serde_json::Value;

/// The forms of `expires_in` met in the wild; RFC 6749 section 5.1 only recommends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiresIn {
    /// A number, as the RFC shows it.
    #[default]
    Number,
    /// A number in quotes.
    String,
    /// Not there.
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
