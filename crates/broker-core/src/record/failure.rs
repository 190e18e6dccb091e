//! Failed attempts to get a token, which records store.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, ErrorKind};
use crate::token::bounds;

/// The longest `Retry-After` that the broker obeys. One day, because some services have daily quotas.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(24);

/// The longest pause after the first `Retry-After`: the value may be in another unit. If the next request gets a long
/// `Retry-After` again, the broker obeys it.
const LONGEST_FIRST_PAUSE: TimeDelta = TimeDelta::hours(1);

/// Ignores a failure that is further in the future than this: the clock was set back.
const CLOCK_TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// The last failed attempt to get a token with certain scopes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// When the attempt to get a token failed.
    #[serde(deserialize_with = "bounds::time")]
    pub at: DateTime<Utc>,
    /// The error's kind.
    pub kind: ErrorKind,
    /// The error's code; missing in records of older versions.
    #[serde(default, deserialize_with = "known_code", skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The error's message, without secrets.
    #[serde(deserialize_with = "crate::token::shown")]
    pub message: String,
    /// Until this time, no caller repeats the failed early renewal ([`crate::token::Phase::Advisory`]).
    #[serde(deserialize_with = "bounds::time")]
    pub retry_at: DateTime<Utc>,
    /// The end of the pause that the service requested with `Retry-After`. No caller sends a request earlier.
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    pub resume_at: Option<DateTime<Utc>>,
    /// Whether a forced request asked the service during a pause and got another pause. No further request does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) asked_in_pause: bool,
    /// The [`crate::token::fingerprint`] of the refused password, which the broker does not send again automatically.
    #[serde(rename = "secret_mark", default, skip_serializing_if = "Option::is_none")]
    pub secret_fingerprint: Option<String>,
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl Failure {
    /// Creates a failure with the time `now`. Callers with a valid token try again only after `pause`. `previous` is the
    /// failure with the latest pause that the service requested.
    pub(crate) fn new(error: &Error, now: DateTime<Utc>, pause: TimeDelta, previous: Option<&Self>) -> Self {
        let during = previous.filter(|previous| previous.throttles(now).is_some());
        let longest = match previous {
            Some(previous) if previous.is_repeated(now) => LONGEST_PAUSE,
            _ => LONGEST_FIRST_PAUSE,
        };
        let asked = error
            .retry_after()
            .filter(|wait| !wait.is_zero())
            .map(|wait| TimeDelta::from_std(wait).unwrap_or(LONGEST_PAUSE).min(longest));
        let after = |wait| bounds::later(now, wait);
        Self {
            at: now,
            kind: error.kind(),
            code: Some(error.code()),
            message: error.message().to_owned(),
            retry_at: after(pause.max(asked.unwrap_or_default())),
            // An attempt that fails otherwise does not end the pause.
            resume_at: asked.map(after).or(during.and_then(|previous| previous.resume_at)),
            asked_in_pause: asked.is_some() && during.is_some(),
            secret_fingerprint: error.secret_fingerprint().map(str::to_owned),
            unknown: Map::new(),
        }
    }

    /// Whether the service asked for a long pause, which has ended within the last day.
    fn is_repeated(&self, now: DateTime<Utc>) -> bool {
        self.resume_at
            .is_some_and(|at| at - self.at >= LONGEST_FIRST_PAUSE && at <= now && now - at <= LONGEST_PAUSE)
    }

    pub(crate) fn error(&self) -> Error {
        Error::new(self.code(), self.message.clone())
    }

    fn code(&self) -> ErrorCode {
        self.code.filter(|code| code.kind() == self.kind).unwrap_or_else(|| self.kind.general_code())
    }

    /// Whether the service refused the requested `scopes`, and not the login, the client or the password.
    pub(super) fn is_refused_scope(&self, scopes: &str) -> bool {
        let is_refused = !scopes.is_empty() && self.code() == ErrorCode::RequestRefused;
        is_refused && self.secret_fingerprint.is_none() && self.resume_at.is_none()
    }

    /// Whether the failure is recent. Callers then use a valid stored token without another attempt to renew the token.
    pub(crate) fn is_recent(&self, now: DateTime<Utc>) -> bool {
        self.is_past(now) && now < self.retry_at && self.retry_at - self.at <= LONGEST_PAUSE
    }

    /// Returns the end of the pause that the service requested with `Retry-After`; `None` without a pause at `now`.
    pub(crate) fn throttles(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Ignores a pause of more than one day, which only a manually edited record can contain.
        self.resume_at.filter(|at| self.is_past(now) && now < *at && *at - self.at <= LONGEST_PAUSE)
    }

    fn is_past(&self, now: DateTime<Utc>) -> bool {
        self.at - now <= CLOCK_TOLERANCE
    }
}

/// Deserializes an error code; `None` for a code that only newer versions define.
fn known_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ErrorCode>, D::Error> {
    Ok(ErrorCode::deserialize(Value::deserialize(deserializer)?).ok())
}
