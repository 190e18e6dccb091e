//! What to do with what is locked_record: the one place that decides.

use chrono::{DateTime, Utc};

use crate::{Advice, Phase, Record, Token, TokenRequest};

/// What to do for a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decision<'r> {
    /// The held token is handed out as it is.
    Use(&'r Token),
    /// Whoever gets the lock renews; this token serves everyone else meanwhile.
    Renew(&'r Token),
    /// Everyone waits for a new token.
    Need,
}

/// Decides from what is held at `now`, for who asked at `asked_at`.
pub(super) fn decide<'r>(
    record: &'r Record,
    request: &TokenRequest,
    asked_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Decision<'r> {
    let Some(token) = serves(record, request, asked_at, now) else { return Decision::Need };
    match token.window().advice(now, record.standing_failure(request.scopes(), now)) {
        Advice::Use => Decision::Use(token),
        Advice::RenewOne => Decision::Renew(token),
        Advice::Renew => Decision::Need,
    }
}

/// The held token if it truly serves the request at `now`: what is handed out when a renewal fails. A forced
/// request is served by what was issued after it asked.
pub(super) fn serves<'r>(
    record: &'r Record,
    request: &TokenRequest,
    asked_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<&'r Token> {
    let token = record.token(request.scopes()).filter(|token| !token.secret().expose().is_empty())?;
    let made_since = asked_at < token.issued_at() && token.issued_at() <= now;
    let too_old = request.is_forced() && !made_since;
    // One that was made since has as much life as the service gives.
    let too_short = !made_since
        && request.asked_ttl().is_some_and(|asked| token.window().left(now).is_some_and(|left| left < asked));
    (!too_old && !too_short && token.window().phase(now) != Phase::Expired).then_some(token)
}
