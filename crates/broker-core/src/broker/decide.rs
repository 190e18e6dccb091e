//! Decides whether a stored token is used, renewed or replaced.

use chrono::{DateTime, Utc};

use crate::record::Record;
use crate::token::{Phase, Token, TokenRequest};

/// What the broker does for a token request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision<'r> {
    /// Use the stored token without renewal.
    Use(&'r Token),
    /// The caller that gets the lock renews the token; other callers use the stored one.
    Renew(&'r Token),
    /// All callers wait for a new token.
    Need,
}

/// Decides whether a request made at `asked_at` uses the stored token, renews it, or waits for a new one. After a
/// failed renewal of a valid token ([`Phase::Advisory`]), no caller retries before [`crate::record::Failure::retry_at`].
pub(super) fn decide<'r>(
    record: &'r Record,
    request: &TokenRequest,
    asked_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Decision<'r> {
    let Some(token) = valid_token(record, request, asked_at, now) else { return Decision::Need };
    let failure = record.waiting_failure(request.scopes(), now);
    let has_just_failed = failure.is_some_and(|failure| failure.is_recent(now));
    match token.window().phase(now) {
        _ if !is_long_enough(token, request) && !has_just_failed => Decision::Need,
        Phase::Fresh => Decision::Use(token),
        Phase::Advisory if has_just_failed => Decision::Use(token),
        Phase::Advisory => Decision::Renew(token),
        Phase::Blocking | Phase::Expired => Decision::Need,
    }
}

/// Whether the token was issued for the requested lifetime or a longer one.
pub(super) fn is_long_enough(token: &Token, request: &TokenRequest) -> bool {
    request.expires.is_none_or(|lifetime| token.was_issued_for(lifetime))
}

/// Returns the stored token if it satisfies the request at `now`. A forced request accepts only tokens that were
/// issued after the request.
pub(super) fn valid_token<'r>(
    record: &'r Record,
    request: &TokenRequest,
    asked_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<&'r Token> {
    let token = record.token(request.scopes()).filter(|token| !token.secret().expose().is_empty())?;
    let is_new = asked_at < token.issued_at() && token.issued_at() <= now;
    let too_old = request.force && !is_new;
    // A new token is accepted even if it expires too soon: another new token would not last longer.
    let too_short = !is_new
        && request.min_ttl.is_some_and(|asked| token.window().left(now).is_some_and(|left| left < asked));
    (!too_old && !too_short && token.window().phase(now) != Phase::Expired).then_some(token)
}
