//! The plugin's response to `exchange` and `login`.

use broker_core::{
    Derived, ErrorCode, HttpFault, HttpResponse, Record, RequestSent, ScopeKey, Secret, salvage,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::wire::{Message, from_ok, parse};

#[derive(Deserialize)]
pub(crate) struct ExchangeResponse {
    #[serde(default)]
    pub(crate) tokens: Vec<IssuedToken>,
    pub(crate) grant: Option<Secret>,
    #[serde(default)]
    pub(crate) grant_refused: bool,
    #[serde(default)]
    pub(crate) dropped: Vec<Vec<String>>,
    pub(crate) account: Option<String>,
    #[serde(rename = "kept")]
    pub(crate) metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
pub(crate) struct IssuedToken {
    scopes: Option<Vec<String>>,
    pub(crate) secret: Secret,
    #[serde(rename = "type")]
    pub(crate) token_type: Option<String>,
    /// The expiry. `null` means that the token never expires.
    #[serde(default, deserialize_with = "present")]
    pub(crate) expires_at: Option<Value>,
    pub(crate) expires_in: Option<Value>,
    pub(crate) scope: Option<String>,
}

impl ExchangeResponse {
    /// Removes an empty grant, empty tokens, and tokens with invalid scopes from the response.
    pub(crate) fn remove_invalid(&mut self) {
        let is_valid = |scope: &String| !scope.chars().any(char::is_control) && !Derived::is_key(scope);
        self.tokens
            .retain(|token| !token.secret.expose().is_empty() && token.scopes.iter().flatten().all(is_valid));
        self.grant.take_if(|grant| grant.expose().is_empty());
    }

    /// Whether the response changes the record enough for another request to the plugin. Without a change, the broker
    /// would repeat the request forever.
    pub(crate) fn makes_progress(&self, record: &Record, requested: &ScopeKey, now: DateTime<Utc>) -> bool {
        let stored = record.usable_grant();
        let is_new = |grant: &Secret| !stored.is_some_and(|stored| stored.secret().same_as(grant));
        let is_stored = |scopes: &ScopeKey| {
            record.token(scopes).is_some_and(|token| token.expires_at().is_none_or(|at| at > now))
        };
        self.grant.as_ref().is_some_and(is_new)
            || (self.grant_refused && stored.is_some())
            || self.dropped.iter().any(|scopes| record.token(&scope_key(scopes)).is_some())
            || self
                .tokens
                .iter()
                .map(|token| token.scopes(requested))
                .any(|scopes| scopes == *requested || !is_stored(&scopes))
    }
}

impl IssuedToken {
    /// Returns the scopes of the token. A token without `scopes` has the requested ones.
    pub(crate) fn scopes(&self, requested: &ScopeKey) -> ScopeKey {
        self.scopes.as_deref().map_or_else(|| requested.clone(), scope_key)
    }
}

pub(crate) fn scope_key(scopes: &[String]) -> ScopeKey {
    ScopeKey::new(scopes.iter().map(String::as_str))
}

/// Returns the new grant, such as a refresh token, from a malformed or incomplete response, which may follow other
/// output.
pub(crate) fn salvage_grant(output: &[u8]) -> Option<Secret> {
    #[derive(Deserialize)]
    struct GrantOnly {
        grant: Secret,
    }
    if let Some(Message { ok: Some(response), .. }) = parse::<GrantOnly>(output) {
        return Some(response.grant).filter(|grant| !grant.expose().is_empty());
    }
    let response = HttpResponse::new(http::Response::default(), DateTime::UNIX_EPOCH);
    let mut response = response.with_body(from_ok(output)?.to_vec());
    // The last value may be incomplete.
    response.cut = Some(HttpFault::new(RequestSent::Maybe, ErrorCode::BadResponse, String::new()));
    salvage(&response, "grant")
}

/// Distinguishes `null` from a missing field.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
