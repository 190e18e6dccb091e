//! What was given for the long term.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Secret;

/// What was given for the long term: a refresh token, a stored login.
#[derive(Clone, Serialize, Deserialize)]
pub struct Grant {
    #[serde(serialize_with = "Secret::write")]
    pub(super) secret: Secret,
    issued_at: DateTime<Utc>,
    /// The journal of a renewal: on disk before the grant is sent, gone when the answer is saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sent_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl Grant {
    pub(crate) fn new(secret: Secret, issued_at: DateTime<Utc>) -> Self {
        Self { secret, issued_at, sent_at: None, refused_at: None, unknown: Map::new() }
    }

    pub(super) fn issued_at(&self) -> DateTime<Utc> {
        self.issued_at
    }

    /// The secret that buys tokens.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Since when it may have been spent: a renewal sent it, and its answer never came to be saved. Many services
    /// still take it once more.
    #[must_use]
    pub fn sent_at(&self) -> Option<DateTime<Utc>> {
        self.sent_at
    }

    /// When the service refused it for good, if it did.
    #[must_use]
    pub fn refused_at(&self) -> Option<DateTime<Utc>> {
        self.refused_at
    }

    /// Why a login is needed, if this grant was refused.
    pub(crate) fn refusal_message(&self) -> Option<String> {
        let refused_at = self.refused_at?;
        Some(match self.sent_at {
            Some(at) => format!(
                "a renewal was cut off at {}; the service had already replaced the login",
                at.format("%F %T UTC")
            ),
            None => format!("the service refused the login at {}", refused_at.format("%F %T UTC")),
        })
    }
}
