//! The token in the environment variable `CARBONMAPPER_TOKEN`, which is used without a login or password.

use broker_core::{Claims, Env, Error, Operation, RecordUpdate, Result, Secret, Token, TokenRequest, later};
use chrono::TimeDelta;
use serde_json::{Map, Value};

pub(crate) const VARIABLE: &str = "CARBONMAPPER_TOKEN";

/// How long the token is stored before `CARBONMAPPER_TOKEN` is read again.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// The JSON key that marks a stored token as read from `CARBONMAPPER_TOKEN`.
const FROM: &str = "from";

pub(crate) fn is_from_env(token: &Token) -> bool {
    token.details().is_some_and(|details| details.get(FROM).is_some_and(|from| from == VARIABLE))
}

/// Reads the token from `CARBONMAPPER_TOKEN`.
pub(crate) fn token(env: &dyn Env) -> Option<Secret> {
    env.var(VARIABLE).map(|text| Secret::cleaned_token(&text)).filter(|token| !token.expose().is_empty())
}

/// Returns the record update that stores the token for the requested scopes, which the token may lack.
pub(crate) fn update(operation: &Operation, secret: Secret, request: &TokenRequest) -> Result<RecordUpdate> {
    let now = operation.now();
    let secret = Token::bare(secret);
    let expiry = Claims::read(&secret).and_then(|claims| claims.expires_at());
    if let Some(expired) = expiry.filter(|at| *at <= now) {
        let expired = expired.format("%F %T UTC");
        return Err(Error::login_required(format!(
            "not logged in, and the token in {VARIABLE} expired at {expired}"
        )));
    }
    let lease = later(now, LEASE);
    let token = Token::new(secret, now, Some(expiry.map_or(lease, |expiry| expiry.min(lease))));
    let token = token.with_details(Map::from_iter([(FROM.to_owned(), Value::from(VARIABLE))]));
    Ok(RecordUpdate::token(request.scopes(), token))
}
