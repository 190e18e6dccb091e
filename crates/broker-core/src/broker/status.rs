//! The status of a provider and the claims of a stored token, without secrets.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Entry, ProviderHandle, Slot};
use crate::error::{Hint, Result};
use crate::provider::NextExchange;
use crate::record::{Failure, Record};
use crate::store::Loaded;
use crate::token::{Claims, Phase, ScopeKey, Token, TokenRequest, sanitize, without_query};

/// The stored login and tokens of a provider, without secrets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The provider's name.
    pub name: String,
    /// The provider's kind.
    pub kind: String,
    /// The state of the token with the latest expiry.
    pub state: State,
    /// The account's name, if the service reports it.
    pub account: Option<String>,
    /// The latest expiry of the stored tokens; `None` if no token is stored, or if a token does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    /// The requested scopes of each stored token; a token without scopes is not listed.
    pub scopes: Vec<String>,
    /// The stored tokens.
    pub tokens: Vec<TokenStatus>,
    /// Whether a grant (refresh token or stored login) is stored, and the service has not refused the grant.
    pub grant: bool,
    /// Whether the broker can get a new token without a login.
    pub can_renew: bool,
    /// How the user logs in: see [`crate::provider::ProviderInfo::login_hint`].
    pub login_hint: Hint,
    /// Whether the provider's required secret is not configured: see [`crate::provider::ProviderInfo::secret_missing`].
    pub secret_missing: bool,
    /// The issuer's token endpoint, without its query.
    pub issuer: String,
    /// The last failure of the login or of a stored token: see [`Record::last_failure`].
    pub last_failure: Option<Failure>,
    /// The scopes, AWS role or cookie of the request that failed last; empty for a request without scopes.
    pub last_failed_scope: Option<String>,
    /// The end of the pause that the service asked for (`Retry-After`). No call sends a request earlier.
    pub not_before: Option<DateTime<Utc>>,
    /// A note for the user, such as why a login is needed.
    pub note: Option<String>,
    /// Where the login or secret comes from: see [`crate::provider::ProviderInfo::sources`].
    pub sources: Vec<String>,
    /// The login file that the broker shares with the service's own tools.
    pub login_file: Option<PathBuf>,
    /// The login file that the broker shares with the service's own tools, if the file is invalid.
    pub invalid_login_file: Option<PathBuf>,
    /// The hosts that accept the provider's tokens: see [`crate::provider::ProviderInfo::hosts`].
    pub hosts: Vec<String>,
}

/// The state and times of a stored token, without its secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenStatus {
    /// The requested scopes; empty for a request without scopes.
    pub scope: String,
    /// The state of the token.
    pub state: State,
    /// When the request for the token was sent.
    pub issued_at: DateTime<Utc>,
    /// When the token expires; `None` if it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    /// When the token is due for renewal.
    pub renews_at: Option<DateTime<Utc>>,
}

/// The state of a token or a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// The token is valid and not due for renewal.
    Valid,
    /// The token is valid and due for renewal.
    Expiring,
    /// The token has expired; the next call renews it.
    Expired,
    /// The user has to log in.
    LoginRequired,
    /// No login and no token is stored.
    None,
}

impl ProviderHandle {
    /// Returns the status of a provider. Sends no request. May wait for the key of an encrypted record.
    pub fn status(&self) -> Result<Status> {
        let (inner, slot) = (&self.broker.inner, &self.slot);
        let loaded = inner.load(slot, true).map_err(|error| self.named(error))?.unwrap_or(Loaded::Nothing);
        let in_fallback = matches!(loaded, Loaded::FromFallback(_)).then(|| {
            "the login is stored in a fallback file because the record file could not be written; \
             the next call tries to write the record file"
                .to_owned()
        });
        let (record, unreadable) = inner.read(slot, loaded);
        let note = unreadable.or(in_fallback).or_else(|| record.why_empty()).or_else(|| grant_note(&record));
        Ok(status(slot, &record, note, inner.context.now()))
    }
}

fn status(slot: &Slot, record: &Record, note: Option<String>, now: DateTime<Utc>) -> Status {
    let Entry { provider, info, .. } = &slot.entry;
    let renewable = provider.next_exchange(record, &TokenRequest::new(), now) != NextExchange::NeedsLogin;
    let login_file = info.login_file.as_ref().map(|file| file.path().to_owned());
    let state_of = |token: &Token| match token.window().phase(now) {
        Phase::Fresh => State::Valid,
        Phase::Advisory | Phase::Blocking => State::Expiring,
        Phase::Expired if renewable => State::Expired,
        Phase::Expired => State::LoginRequired,
    };
    let state = match record.longest_token() {
        Some(token) => state_of(token),
        // If there is a note, a login is stored but cannot be used.
        None if record.is_empty() && note.is_none() => State::None,
        None if renewable => State::Expired,
        None => State::LoginRequired,
    };
    Status {
        name: slot.name.clone(),
        kind: record.issuer().kind.clone(),
        state,
        account: record.account().map(str::to_owned),
        expires_at: record.longest_token().and_then(Token::expires_at),
        scopes: record.tokens().map(|(scopes, _)| scopes.to_owned()).filter(|s| !s.is_empty()).collect(),
        tokens: record
            .tokens()
            .map(|(scope, token)| TokenStatus {
                scope: scope.to_owned(),
                state: state_of(token),
                issued_at: token.issued_at(),
                expires_at: token.expires_at(),
                renews_at: token.window().renews_at(),
            })
            .collect(),
        grant: record.usable_grant().is_some(),
        can_renew: renewable,
        login_hint: info.login_hint(),
        secret_missing: info.secret_missing.is_some(),
        issuer: without_query(&record.issuer().endpoint),
        last_failure: record.last_failure().cloned(),
        last_failed_scope: record.last_failed_request().map(|(scopes, _)| scopes.clone()),
        not_before: record.throttle(now).map(|(until, _)| until),
        note: note.map(|note| sanitize(&note)),
        sources: info.sources.iter().map(|source| sanitize(source)).collect(),
        invalid_login_file: login_file.clone().filter(|_| record.0.login_problem.is_some()),
        login_file,
        hosts: info.hosts.clone(),
    }
}

/// Returns why a login is needed, or that a renewal is running or was interrupted.
fn grant_note(record: &Record) -> Option<String> {
    let grant = record.grant()?;
    if let (None, Some(at)) = (grant.refused_at(), grant.sent_at()) {
        let at = at.format("%F %T UTC");
        return Some(format!(
            "a renewal started at {at} and is still running, or was interrupted; the next call repeats the renewal"
        ));
    }
    record.refusal_message()
}

/// A description of a stored token, without its secret and its signature.
#[non_exhaustive]
pub struct Inspected {
    /// The token type from the service's response.
    pub token_type: String,
    /// When the token expires, by this machine's clock.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether the token's secret is stored in the record: see [`crate::token::Token::not_stored`].
    pub kept: bool,
    /// The header and the claims, if the token is a JWT.
    pub jwt: Option<(Map<String, Value>, Claims)>,
}

impl ProviderHandle {
    /// Describes the stored token for these scopes, even if the token has expired; `None` if none is stored. Sends no
    /// request. May wait for the key of an encrypted record.
    pub fn inspect(&self, scopes: &ScopeKey) -> Result<Option<Inspected>> {
        let cached = self.broker.inner.reload(&self.slot).map_err(|error| self.named(error))?;
        Ok(cached.record.token(scopes).map(|token| Inspected {
            token_type: token.token_type().to_owned(),
            expires_at: token.expires_at(),
            kept: !token.secret().expose().is_empty(),
            jwt: Claims::header(token.secret()).zip(Claims::read(token.secret())),
        }))
    }

    /// Asks the service about the stored token for these scopes (RFC 7662). Returns `None` if no token is stored, or
    /// if the service does not support introspection.
    pub async fn introspect(&self, scopes: &ScopeKey) -> Result<Option<Map<String, Value>>> {
        let cached = self.broker.inner.cached(&self.slot).await.map_err(|error| self.named(error))?;
        let Some(token) = cached.record.token(scopes).cloned() else { return Ok(None) };
        self.run(None, |task| async move { task.provider().introspect(&task.operation, &token).await }).await
    }
}
