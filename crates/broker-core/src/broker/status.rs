//! The status of a provider, without secrets.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Broker;
use crate::{Failure, Loaded, Phase, Record, Result, Token};

/// What is stored for a provider, without secrets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The provider's name.
    pub name: String,
    /// The provider's kind.
    pub kind: String,
    /// The state of the token that expires last.
    pub state: State,
    /// The account's name, if the service reports it.
    pub account: Option<String>,
    /// When the token that expires last expires; `None` if there is none, or it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    /// The scopes of the stored tokens, as they were requested; the usual token has none.
    pub scopes: Vec<String>,
    /// The stored tokens.
    pub tokens: Vec<TokenStatus>,
    /// Whether a grant is stored that the service has not refused.
    pub grant: bool,
    /// Whether a new token needs no login.
    pub can_renew: bool,
    /// Whether the provider needs a secret and has none: see [`crate::Provider::check_secret`].
    pub secret_missing: bool,
    /// The endpoint that issues grants and tokens.
    pub issuer: String,
    /// The last failure that concerns the login or a stored token: see [`Record::last_failure`].
    pub last_failure: Option<Failure>,
    /// The scopes, or the derived credential, that failed last; empty for the usual token.
    pub last_failed_scope: Option<String>,
    /// The end of the pause that the service asked for: no call asks it before.
    pub not_before: Option<DateTime<Utc>>,
    /// What else the user should know.
    pub note: Option<String>,
    /// The sources of its login or secret: see [`crate::Provider::sources`].
    pub sources: Vec<String>,
    /// The file of the service's own tools that the login is shared with.
    pub login_file: Option<PathBuf>,
    /// The same file, if it cannot be used.
    pub invalid_login_file: Option<PathBuf>,
    /// The hosts that accept its tokens: see [`crate::Provider::hosts`].
    pub hosts: Vec<String>,
}

/// A stored token, without its secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenStatus {
    /// The requested scopes; empty for the usual token.
    pub scope: String,
    /// The state of the token.
    pub state: State,
    /// When the request for it was sent.
    pub issued_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it is due for renewal.
    pub renews_at: Option<DateTime<Utc>>,
}

/// The state of a token or a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is used as it is.
    Valid,
    /// It is still valid, and due for renewal.
    Expiring,
    /// It has expired; the next call renews it.
    Expired,
    /// The user has to log in.
    LoginRequired,
    /// Nothing is stored.
    None,
}

impl Broker {
    /// Returns the status of a provider. It asks no service and does not wait.
    pub fn status(&self, provider: &str) -> Result<Status> {
        let slot = self.slot(provider)?;
        let now = self.inner.context.now();
        let loaded = slot.store.peek(provider).map_err(|error| error.for_provider(provider))?;
        let in_fallback = matches!(loaded, Loaded::FromFallback(_)).then(|| {
            "the login is stored in a fallback file because its own file could not be written; the next call tries to restore it".to_owned()
        });
        let (record, unreadable) = self.inner.read(&slot, loaded);
        let renewable = slot.entry.provider.can_renew(&record);
        let note = unreadable.or(in_fallback).or_else(|| record.why_empty()).or_else(|| grant_note(&record));
        let sources = slot.entry.provider.sources();
        let hosts = slot.entry.hosts.clone();
        let secret_missing = slot.entry.provider.check_secret().is_err();
        let login_file = slot.entry.provider.login_file().map(|file| file.path().to_owned());
        let invalid_login_file = login_file.clone().filter(|_| record.has_login_problem());
        let about = status(provider, &record, renewable, note, now);
        Ok(Status { secret_missing, sources, login_file, invalid_login_file, hosts, ..about })
    }
}

fn status(name: &str, record: &Record, renewable: bool, note: Option<String>, now: DateTime<Utc>) -> Status {
    let state_of = |token: &Token| match token.window().phase(now) {
        Phase::Fresh => State::Valid,
        Phase::Advisory | Phase::Blocking => State::Expiring,
        Phase::Expired if renewable => State::Expired,
        Phase::Expired => State::LoginRequired,
    };
    let longest = record
        .tokens()
        .map(|(_, token)| token)
        .max_by_key(|token| token.expires_at().unwrap_or(DateTime::<Utc>::MAX_UTC));
    let state = match longest {
        Some(token) => state_of(token),
        // A note says why a stored login cannot be used.
        None if record.is_empty() && note.is_none() => State::None,
        None if renewable => State::Expired,
        None => State::LoginRequired,
    };
    Status {
        name: name.to_owned(),
        kind: record.issuer().kind.clone(),
        state,
        account: record.account().map(str::to_owned),
        expires_at: longest.and_then(Token::expires_at),
        scopes: record
            .tokens()
            .map(|(scopes, _)| scopes.to_owned())
            .filter(|scopes| !scopes.is_empty())
            .collect(),
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
        secret_missing: false,
        issuer: record.issuer().endpoint.clone(),
        last_failure: record.last_failure().cloned(),
        last_failed_scope: record.last_failed_scope().map(str::to_owned),
        not_before: record.throttle(now).map(|(until, _)| until),
        note,
        sources: Vec::new(),
        login_file: None,
        invalid_login_file: None,
        hosts: Vec::new(),
    }
}

/// Says why a login is needed, or that a renewal is running or was interrupted.
fn grant_note(record: &Record) -> Option<String> {
    let grant = record.grant()?;
    if let (None, Some(at)) = (grant.refused_at(), grant.sent_at()) {
        let at = at.format("%F %T UTC");
        return Some(format!(
            "a renewal started at {at} and is still running, or was interrupted; the next call tries it once more"
        ));
    }
    grant.refusal_message()
}
