//! Long-lived grants: refresh tokens and stored logins.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::token::{Secret, bounds};

/// A long-lived secret that is exchanged for tokens: a refresh token or a stored login.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Grant(pub(super) Fields);

/// The fields of a grant in a record file.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Fields {
    #[serde(serialize_with = "Secret::write")]
    pub(super) secret: Secret,
    #[serde(deserialize_with = "bounds::time")]
    pub(super) issued_at: DateTime<Utc>,
    #[serde(flatten)]
    pub(super) intent: Intent,
    /// When the service refused the grant for good (`invalid_grant`).
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    pub(super) refused_at: Option<DateTime<Utc>>,
    /// The refresh token that this one replaced in a response without an access token. Used again if the service refuses
    /// this one, because an error page may have contained it.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "Secret::write_optional")]
    pub(super) previous: Option<Secret>,
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl Grant {
    pub(crate) fn new(secret: Secret, issued_at: DateTime<Utc>) -> Self {
        Self(Fields { secret, issued_at, ..Fields::default() })
    }

    /// Serializes the grant of a record file, which may have none.
    #[expect(clippy::ref_option, reason = "serde passes this type")]
    pub(super) fn write<S: Serializer>(grant: &Option<Self>, serializer: S) -> Result<S::Ok, S::Error> {
        grant.as_ref().map(|grant| &grant.0).serialize(serializer)
    }

    /// Returns the refresh intent: when an exchange sent the grant. `None` after the response is saved.
    pub fn sent_at(&self) -> Option<DateTime<Utc>> {
        self.0.intent.sent_at
    }

    pub(crate) fn refused_at(&self) -> Option<DateTime<Utc>> {
        self.0.refused_at
    }

    /// Returns the secret that is exchanged for tokens.
    pub fn secret(&self) -> &Secret {
        &self.0.secret
    }

    /// Keeps the refresh token of `before`, because the service has not yet accepted this one.
    pub(super) fn replacing(self, before: Option<&Self>) -> Self {
        let previous = before.map(|before| before.0.previous.as_ref().unwrap_or(&before.0.secret).clone());
        let previous = previous.filter(|previous| !previous.same_as(&self.0.secret));
        Self(Fields { previous, ..self.0 })
    }

    /// Returns the grant with the previous refresh token, if there is one.
    pub(super) fn restored(&self) -> Option<Self> {
        self.0.previous.clone().map(|previous| Self::new(previous, self.0.issued_at))
    }
}

/// The refresh intent: requests with the grant whose response is not saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// When an exchange sent the grant. Removed when the response is saved.
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    pub(crate) sent_at: Option<DateTime<Utc>>,
    /// When a later exchange sent the grant again, because the request of `sent_at` got no response.
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    pub(crate) sent_again_at: Option<DateTime<Utc>>,
    /// Whether the last request got a response, which was an error or malformed: no request is on its way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) answered: bool,
}

impl Intent {
    /// Returns the intent of another request, which is sent at `now`.
    pub(crate) fn send(self, now: DateTime<Utc>) -> Self {
        let sent_again_at = self.sent_at.map(|_| now);
        Self { sent_at: self.sent_at.or(Some(now)), sent_again_at, answered: false }
    }

    /// Returns the intent without times after `now`.
    pub(crate) fn until(self, now: DateTime<Utc>) -> Self {
        let now = Some(now);
        Self { sent_at: self.sent_at.min(now), sent_again_at: self.sent_again_at.min(now), ..self }
    }

    /// Returns when the last request was sent, if that request got no response.
    pub(crate) fn unanswered_at(self) -> Option<DateTime<Utc>> {
        self.sent_again_at.or(self.sent_at).filter(|_| !self.answered)
    }
}
