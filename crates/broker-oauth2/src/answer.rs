//! The answer of a token endpoint (RFC 6749 section 5.1).

use broker_core::{
    Change, Error, HttpResponse, Problem, ScopeKey, Secret, ServiceUrl, Token, read_object, seconds,
};
use chrono::TimeDelta;
use serde_json::{Map, Value};

/// What a token endpoint gave.
#[derive(Debug)]
pub struct TokenAnswer {
    /// The access token.
    pub token: Token,
    /// The refresh token, if there is a new one (RFC 6749 section 6).
    pub refresh_token: Option<Secret>,
    /// The ID token, if there is one (OpenID Connect Core section 3.1.3.3).
    pub id_token: Option<Secret>,
}

impl TokenAnswer {
    /// Reads an answer. `expires_in` can be a number or text, or be missing; then see [`Token::from_answer`].
    pub(crate) fn read(
        response: &HttpResponse,
        from: &ServiceUrl,
        secrets: &[&Secret],
        default_life: TimeDelta,
    ) -> Result<Self, Problem> {
        let object = read_object(response, from, secrets)?;
        let secret = |key: &str| text(&object, key).map(Secret::new);
        let Some(access_token) = secret("access_token") else {
            return Err(Problem::Transient(Error::unavailable(format!(
                "{from} answered without an access token"
            ))));
        };
        let expires_in = object.get("expires_in").and_then(seconds);
        let token = Token::from_answer(response, access_token, expires_in, default_life)
            .with_type(text(&object, "token_type").unwrap_or("Bearer"))
            .with_scope(text(&object, "scope").map(str::to_owned));
        Ok(Self { token, refresh_token: secret("refresh_token"), id_token: secret("id_token") })
    }

    /// What it changes in a record: a token for these scopes, and the refresh token if there is a new one.
    pub fn change(self, scopes: &ScopeKey) -> Change {
        let issued_at = self.token.issued_at();
        let change = Change::token(scopes, self.token);
        let change = change.and_id_token(self.id_token);
        match self.refresh_token {
            Some(refresh_token) => change.and_grant(refresh_token, issued_at),
            None => change,
        }
    }
}

/// A text that is there and not empty.
pub(crate) fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key)?.as_str().filter(|text| !text.is_empty())
}
