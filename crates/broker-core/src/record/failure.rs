//! What is remembered of tries that came to nothing.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{Error, ErrorCode, ErrorKind};

/// The longest that a service is left alone for because it asked so: a day, as quotas by the day need.
const LONGEST_REST: TimeDelta = TimeDelta::hours(24);

/// A failure from further in the future than this is from before the clock was set back.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// The last try for a token failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: DateTime<Utc>,
    /// How.
    pub kind: ErrorKind,
    /// The code of the error; missing in records of older versions.
    #[serde(default, deserialize_with = "known_code", skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// In words; never with a secret in them.
    pub message: String,
    /// In the advisory window nobody tries again before.
    pub retry_at: DateTime<Utc>,
    /// Until when the service asked to be left alone (`Retry-After`), if it did: nobody asks before, token or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_at: Option<DateTime<Utc>>,
    /// A [`crate::fingerprint`] of the password that was refused, so that it is never tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "secret_mark")]
    pub secret_fingerprint: Option<String>,
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl Failure {
    /// A failure at `now`, after which a caller with a token lets `pause` pass.
    pub(crate) fn new(error: &Error, now: DateTime<Utc>, pause: TimeDelta) -> Self {
        let asked = error
            .retry_after()
            .filter(|wait| !wait.is_zero())
            .map(|wait| TimeDelta::from_std(wait).unwrap_or(LONGEST_REST).min(LONGEST_REST));
        let after = |wait| now.checked_add_signed(wait).unwrap_or(now);
        Self {
            at: now,
            kind: error.kind(),
            code: Some(error.code()),
            message: error.message().to_owned(),
            retry_at: after(pause.max(asked.unwrap_or_default())),
            resume_at: asked.map(after),
            secret_fingerprint: error.secret_fingerprint().map(str::to_owned),
            unknown: Map::new(),
        }
    }

    /// Returns the failure as an error.
    pub(crate) fn error(&self) -> Error {
        let code = self.code.filter(|code| code.kind() == self.kind);
        Error::new(code.unwrap_or_else(|| self.kind.general_code()), self.message.clone())
    }

    /// Whether it is too early for a caller who has a token to try again.
    pub(crate) fn rests(&self, now: DateTime<Utc>) -> bool {
        self.is_of_the_past(now) && now < self.retry_at && self.retry_at - self.at <= LONGEST_REST
    }

    /// Until when nobody is to ask the service, if that is not over.
    pub(crate) fn throttles(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // A record is only a file: what is longer was not written here.
        self.resume_at.filter(|at| self.is_of_the_past(now) && now < *at && *at - self.at <= LONGEST_REST)
    }

    fn is_of_the_past(&self, now: DateTime<Utc>) -> bool {
        self.at - now <= CLOCK_TOLERANCE
    }
}

/// Reads a code; a code of a newer version counts as none.
fn known_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ErrorCode>, D::Error> {
    Ok(ErrorCode::deserialize(Value::deserialize(deserializer)?).ok())
}
