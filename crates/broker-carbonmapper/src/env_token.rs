//! The token in `CARBONMAPPER_TOKEN`: used without a login and a password.

use broker_core::{Claims, Context, Env, Error, RecordUpdate, Result, Secret, Token, TokenRequest};
use chrono::TimeDelta;
use serde_json::{Map, Value};

pub(crate) const VARIABLE: &str = "CARBONMAPPER_TOKEN";

/// How long the token is stored before the variable is read again.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// The detail that names the origin of such a token.
const FROM: &str = "from";

/// Whether a token is from the variable.
pub(crate) fn is_from_env(token: &Token) -> bool {
    token.details().is_some_and(|details| details.get(FROM).is_some_and(|from| from == VARIABLE))
}

/// Reads the token in the variable.
pub(crate) fn token(env: &dyn Env) -> Option<Secret> {
    env.var(VARIABLE).map(|text| Secret::new(text.trim())).filter(|token| !token.expose().is_empty())
}

/// Returns the token for any requested scopes. It cannot be renewed.
pub(crate) fn update(context: &Context, secret: Secret, request: &TokenRequest) -> Result<RecordUpdate> {
    let now = context.now();
    let expiry = Claims::read(&secret).and_then(|claims| claims.expires_at());
    if let Some(expired) = expiry.filter(|at| *at <= now) {
        let expired = expired.format("%F %T UTC");
        return Err(Error::login_required(format!(
            "not logged in, and the token in {VARIABLE} expired at {expired}"
        )));
    }
    let lease = now + LEASE;
    let token = Token::new(secret, now, Some(expiry.map_or(lease, |expiry| expiry.min(lease))));
    let token = token.with_details(Map::from_iter([(FROM.to_owned(), Value::from(VARIABLE))]));
    Ok(RecordUpdate::token(request.scopes(), token))
}
