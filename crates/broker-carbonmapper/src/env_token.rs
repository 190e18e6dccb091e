//! A token that the person has already: the last resort, where there is neither a login nor a password.

use broker_core::{Claims, Context, Env, Error, RecordUpdate, Result, Secret, Token, TokenRequest};
use chrono::TimeDelta;
use serde_json::{Map, Value};

pub(crate) const VARIABLE: &str = "CARBONMAPPER_TOKEN";

/// For so long it is held: then the variable is looked at again, which may have another token by now.
const LEASE: TimeDelta = TimeDelta::seconds(30);

/// The detail that tells where such a token is from.
const FROM: &str = "from";

/// Whether a token is from the variable.
pub(crate) fn is_given(token: &Token) -> bool {
    token.details().is_some_and(|details| details.get(FROM).is_some_and(|from| from == VARIABLE))
}

/// The token in the variable.
pub(crate) fn token(env: &dyn Env) -> Option<Secret> {
    env.var(VARIABLE).map(|text| Secret::new(text.trim())).filter(|token| !token.expose().is_empty())
}

/// Hands the token out as it is, for whatever scopes are asked for: it cannot be made anew.
pub(crate) fn hand_out(context: &Context, secret: Secret, request: &TokenRequest) -> Result<RecordUpdate> {
    let now = context.now();
    let ends = Claims::read(&secret).and_then(|claims| claims.expires_at());
    if let Some(over) = ends.filter(|at| *at <= now) {
        let over = over.format("%F %T UTC");
        return Err(Error::login_required(format!(
            "there is no login, and the token in {VARIABLE} has expired at {over}"
        )));
    }
    let lease = now + LEASE;
    let token = Token::new(secret, now, Some(ends.map_or(lease, |ends| ends.min(lease))));
    let token = token.with_details(Map::from_iter([(FROM.to_owned(), Value::from(VARIABLE))]));
    Ok(RecordUpdate::token(request.scopes(), token))
}
