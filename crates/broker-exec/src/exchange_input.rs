//! What a plugin gives: the answer to `exchange` and `login`.

use broker_core::{Derived, Record, ScopeKey, Secret};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::wire::{Said, read};

/// The answer to `exchange` and `login`.
#[derive(Deserialize)]
pub(crate) struct ExchangeInput {
    #[serde(default)]
    pub(crate) tokens: Vec<EnvToken>,
    pub(crate) grant: Option<Secret>,
    #[serde(default)]
    pub(crate) grant_refused: bool,
    #[serde(default)]
    pub(crate) dropped: Vec<Vec<String>>,
    pub(crate) account: Option<String>,
    pub(crate) kept: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
pub(crate) struct EnvToken {
    /// Those that were asked for, if it does not say.
    scopes: Option<Vec<String>>,
    pub(crate) secret: Secret,
    #[serde(rename = "type")]
    pub(crate) token_type: Option<String>,
    /// `null` says that it has no end.
    #[serde(default, deserialize_with = "said")]
    pub(crate) expires_at: Option<Value>,
    pub(crate) expires_in: Option<Value>,
    pub(crate) scope: Option<String>,
}

impl ExchangeInput {
    /// Leaves out what is empty, and tokens of scopes that nobody can ask for.
    pub(crate) fn tidy(&mut self) {
        let can_be_asked = |scope: &String| !scope.chars().any(char::is_control) && !Derived::is_key(scope);
        self.tokens.retain(|token| {
            !token.secret.expose().is_empty() && token.scopes.iter().flatten().all(can_be_asked)
        });
        self.grant.take_if(|grant| grant.expose().is_empty());
    }

    /// Whether it brings anybody nearer to the token of `asked`: one that does not would be asked for again and again.
    pub(crate) fn helps(&self, record: &Record, asked: &ScopeKey, now: DateTime<Utc>) -> bool {
        let held = record.usable_grant();
        let is_new = |grant: &Secret| !held.is_some_and(|held| held.secret().same_as(grant));
        let serves = |scopes: &ScopeKey| {
            record.token(scopes).is_some_and(|token| token.expires_at().is_none_or(|at| at > now))
        };
        self.grant.as_ref().is_some_and(is_new)
            || (self.grant_refused && held.is_some())
            || self.dropped.iter().any(|scopes| record.token(&scope_key(scopes)).is_some())
            || self
                .tokens
                .iter()
                .map(|token| token.scopes(asked))
                .any(|scopes| scopes == *asked || !serves(&scopes))
    }
}

impl EnvToken {
    /// What it is for, where `asked` was asked for.
    pub(crate) fn scopes(&self, asked: &ScopeKey) -> ScopeKey {
        self.scopes.as_deref().map_or_else(|| asked.clone(), scope_key)
    }
}

pub(crate) fn scope_key(scopes: &[String]) -> ScopeKey {
    ScopeKey::new(scopes.iter().map(String::as_str))
}

/// What a plugin gave for the long term in an answer whose rest cannot be read.
pub(crate) fn only_grant(line: &[u8]) -> Option<Secret> {
    #[derive(Deserialize)]
    struct OnlyGrant {
        grant: Secret,
    }
    match read::<OnlyGrant>(line)? {
        Said::Ok(given) if !given.grant.expose().is_empty() => Some(given.grant),
        _ => None,
    }
}

/// A value that is there, also if it is `null`.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
