//! Long-lived grants: refresh tokens and stored logins.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Secret, bounds};

/// A long-lived secret that is exchanged for tokens: a refresh token or a stored login.
#[derive(Clone, Serialize, Deserialize)]
pub struct Grant {
    #[serde(serialize_with = "Secret::write")]
    pub(super) secret: Secret,
    #[serde(deserialize_with = "bounds::time")]
    pub(super) issued_at: DateTime<Utc>,
    /// The refresh intent: when an exchange sent the grant. Removed when the response is saved.
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// When the service refused the grant for good (`invalid_grant`).
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    pub(crate) refused_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl Grant {
    pub(crate) fn new(secret: Secret, issued_at: DateTime<Utc>) -> Self {
        Self { secret, issued_at, sent_at: None, refused_at: None, unknown: Map::new() }
    }

    /// Returns the secret that is exchanged for tokens.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Returns why a login is needed, if the service refused the grant.
    pub(crate) fn refusal_message(&self) -> Option<String> {
        let refused_at = self.refused_at?;
        Some(match self.sent_at {
            Some(at) => format!(
                "a renewal was interrupted at {}, and the service had already replaced the refresh token",
                at.format("%F %T UTC")
            ),
            None => format!("the service refused the refresh token at {}", refused_at.format("%F %T UTC")),
        })
    }
}
