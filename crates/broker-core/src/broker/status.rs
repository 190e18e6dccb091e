//! What is locked_record, without secrets.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Broker;
use crate::{Failure, Loaded, Phase, Record, Result, Token};

/// What is held for a provider; never a secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The provider.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Of the token that lives longest.
    pub state: State,
    /// Whose the login is, if the service said.
    pub account: Option<String>,
    /// When the token that lives longest expires; `None` if there is none, or it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    /// The scopes tokens are held for, as they were asked for; the usual token has none.
    pub scopes: Vec<String>,
    /// Each token locked_record.
    pub tokens: Vec<TokenStatus>,
    /// Whether a grant is held that the service has not refused.
    pub grant: bool,
    /// Whether a new token needs no login.
    pub can_renew: bool,
    /// Whether the provider needs a secret and has none: see [`crate::Provider::check_secret`].
    pub secret_missing: bool,
    /// Where grants and tokens come from.
    pub issuer: String,
    /// The last failure since a token was given.
    pub last_failure: Option<Failure>,
    /// The scopes, or the derived credential, that failed last; empty for the usual token.
    pub last_failed_scope: Option<String>,
    /// Until when the service asked to be left alone, if it did: nobody asks it before.
    pub not_before: Option<DateTime<Utc>>,
    /// What the person should know besides.
    pub note: Option<String>,
    /// Where its login or secret comes from: see [`crate::Provider::sources`].
    pub sources: Vec<String>,
    /// The file of the service's own tools that the login is shared with.
    pub login_file: Option<PathBuf>,
    /// The same file, if it cannot be used.
    pub invalid_login_file: Option<PathBuf>,
    /// The hosts that its tokens are offered to: see [`crate::Provider::hosts`].
    pub hosts: Vec<String>,
}

/// A held token, without its secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenStatus {
    /// The scopes it was asked for with; empty for the usual token.
    pub scope: String,
    /// In which state it is.
    pub state: State,
    /// When the request for it was sent.
    pub issued_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// From when on it is renewed.
    pub renews_at: Option<DateTime<Utc>>,
}

/// The state of a token or a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// It is used as it is.
    Valid,
    /// It still serves, and is due for renewal.
    Expiring,
    /// It serves no longer; the next call gets a new one by itself.
    Expired,
    /// A person has to log in.
    LoginRequired,
    /// Nothing is locked_record.
    None,
}

impl Broker {
    /// What is held for a provider. This asks no service and waits for nobody.
    pub fn status(&self, provider: &str) -> Result<Status> {
        let slot = self.slot(provider)?;
        let now = self.inner.context.now();
        let shown = slot.store.peek(provider).map_err(|error| error.for_provider(provider))?;
        let in_fallback = matches!(shown, Loaded::FromFallback(_)).then(|| {
            "what is held could not be saved in its place and is kept in a second one; the next call tries to put it back".to_owned()
        });
        let (record, unreadable) = self.inner.read(&slot, shown);
        let renewable = slot.entry.provider.can_renew(&record);
        let note = unreadable.or(in_fallback).or_else(|| record.why_empty()).or_else(|| of_grant(&record));
        let sources = slot.entry.provider.sources();
        let hosts = slot.entry.hosts.clone();
        let secret_missing = slot.entry.provider.check_secret().is_err();
        let login_file = slot.entry.provider.login_file().map(|file| file.path().to_owned());
        let invalid_login_file = login_file.clone().filter(|_| record.has_trouble());
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
        // Where something is there that cannot be used, a note says why.
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

/// Why a login is needed, if one is; or what the next renewal may come to.
fn of_grant(record: &Record) -> Option<String> {
    let grant = record.grant()?;
    if let (None, Some(at)) = (grant.refused_at(), grant.sent_at()) {
        let at = at.format("%F %T UTC");
        return Some(format!(
            "a renewal is under way since {at}, or was cut off: then the next one tries the login once more"
        ));
    }
    grant.refusal_message()
}
