//! Decides what to do with a stored token.

use chrono::{DateTime, Utc};

use crate::{Advice, Phase, Record, Token, TokenRequest};

/// What to do for a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision<'r> {
    /// The stored token is used as it is.
    Use(&'r Token),
    /// The caller that gets the lock renews the token; the others use this one.
    Renew(&'r Token),
    /// All callers wait for a new token.
    Need,
}

/// Decides for a request that was made at `asked_at`.
pub(super) fn decide<'r>(
    record: &'r Record,
    request: &TokenRequest,
    asked_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Decision<'r> {
    let Some(token) = valid_token(record, request, asked_at, now) else { return Decision::Need };
    let failure = record.waiting_failure(request.scopes(), now);
    let advice = token.window().advice(now, failure);
    if is_long_enough(token, request) || failure.is_some_and(|failure| failure.is_recent(now)) {
        return match advice {
            Advice::Use => Decision::Use(token),
            Advice::RenewOne => Decision::Renew(token),
            Advice::Renew => Decision::Need,
        };
    }
    Decision::Need
}

/// Whether the token was issued for the requested lifetime.
pub(super) fn is_long_enough(token: &Token, request: &TokenRequest) -> bool {
    request.asked_lifetime().is_none_or(|lifetime| token.was_issued_for(lifetime))
}

/// Returns the stored token if it is valid for the request at `now`; it is also used when a renewal fails. For a forced
/// request, only a token that was issued after the request is valid.
pub(super) fn valid_token<'r>(
    record: &'r Record,
    request: &TokenRequest,
    asked_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<&'r Token> {
    let token = record.token(request.scopes()).filter(|token| !token.secret().expose().is_empty())?;
    let is_new = asked_at < token.issued_at() && token.issued_at() <= now;
    let too_old = request.is_forced() && !is_new;
    // The service issues no longer tokens than a new one.
    let too_short = !is_new
        && request.asked_ttl().is_some_and(|asked| token.window().left(now).is_some_and(|left| left < asked));
    (!too_old && !too_short && token.window().phase(now) != Phase::Expired).then_some(token)
}
