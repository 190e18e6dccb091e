//! The record: everything that is stored for one provider, saved as one atomic unit.

mod external_login;
mod failure;
mod grant;
mod issuer;
mod issuer_state;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Hint, Phase, ScopeKey, Secret, Token, TokenRequest, bounds};
use issuer_state::{IssuerState, Rejection};

pub use failure::Failure;
pub use grant::Grant;
pub use issuer::Issuer;

/// The only format of record files that this version reads and writes.
pub(crate) const FORMAT: u64 = 1;

/// Everything that is stored for one provider: issuer, grant, tokens by scope. Its JSON form is the documented
/// format of record files. Fields that this version does not know survive a rewrite.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    version: u64,
    provider: String,
    /// Grows with each save: the record with the higher number is newer.
    #[serde(default, deserialize_with = "bounds::count")]
    revision: u64,
    #[serde(flatten)]
    current: IssuerState,
    /// Logins of earlier issuers, in case the configuration names them again.
    #[serde(rename = "parked", default, skip_serializing_if = "Vec::is_empty")]
    other_issuers: Vec<IssuerState>,
    /// Why a login that should exist cannot be used now.
    #[serde(skip)]
    login_problem: Option<String>,
    #[serde(skip)]
    new_login: bool,
}

impl Record {
    /// Creates an empty record.
    #[must_use]
    pub fn new(provider: &str, issuer: Issuer) -> Self {
        Self {
            version: FORMAT,
            provider: provider.to_owned(),
            revision: 0,
            current: IssuerState::new(issuer),
            other_issuers: Vec::new(),
            login_problem: None,
            new_login: false,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// Orders records by age: the greater is newer. The grant counts first, because failures raise the revision
    /// but only a response of the service brings a new grant.
    pub(crate) fn age(&self) -> (Option<DateTime<Utc>>, u64) {
        (self.grant().map(Grant::issued_at), self.revision)
    }

    /// Counts a save.
    pub(crate) fn revise(&mut self) {
        self.revision = self.revision.saturating_add(1);
    }

    /// The issuer of the grant and the tokens.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.current.issuer.issuer
    }

    /// The account's name, as the user knows it.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.current.account.as_deref()
    }

    /// The grant, even if it was refused.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.current.grant.as_ref()
    }

    /// The grant, unless the service has refused it.
    #[must_use]
    pub fn usable_grant(&self) -> Option<&Grant> {
        self.grant().filter(|grant| grant.refused_at.is_none() && !grant.secret.expose().is_empty())
    }

    /// The token for these scopes, even if it has expired.
    #[must_use]
    pub fn token(&self, scopes: &ScopeKey) -> Option<&Token> {
        self.current.tokens.get(scopes.as_str())
    }

    /// The token for these scopes if it can be used for a request now: not in its blocking window.
    #[must_use]
    pub fn usable_token(&self, scopes: &ScopeKey, now: DateTime<Utc>) -> Option<&Token> {
        self.token(scopes).filter(|token| matches!(token.window().phase(now), Phase::Fresh | Phase::Advisory))
    }

    /// Each token with its scopes.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.current.tokens.iter().map(|(scopes, token)| (scopes.as_str(), token))
    }

    /// The details of each token that may still be valid at the service: see [`Token::with_details`].
    pub fn details(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let stored = self.current.tokens.values().filter_map(Token::details);
        stored.chain(self.current.superseded.iter().map(|token| &token.details))
    }

    /// The failure to get a token for these scopes since the last one was issued.
    #[must_use]
    pub fn failure(&self, scopes: &ScopeKey) -> Option<&Failure> {
        self.current.failures.get(scopes.as_str())
    }

    /// The failure that determines how long to wait: one where the service asked for a pause, whatever the scopes;
    /// else the last one for these scopes.
    pub(crate) fn waiting_failure(&self, scopes: &ScopeKey, now: DateTime<Utc>) -> Option<&Failure> {
        self.throttle(now).map(|(_, failure)| failure).or_else(|| self.failure(scopes))
    }

    /// The end of the pause that the service asked for, if it is later than `now`, and its failure.
    pub(crate) fn throttle(&self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &Failure)> {
        let pauses =
            self.current.failures.values().filter_map(|failure| Some((failure.throttles(now)?, failure)));
        pauses.max_by_key(|(until, _)| *until)
    }

    /// When the token for these scopes was last replaced because the service rejected it.
    pub(crate) fn rejected_at(&self, scopes: &ScopeKey) -> Option<DateTime<Utc>> {
        self.current.rejections.get(scopes.as_str()).map(|rejection| rejection.at)
    }

    /// The newest failure that concerns the login or a stored token. A refused scope for which no token is stored
    /// says nothing about the login; a failure that is older than the newest token is resolved.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failed_request().map(|(_, failure)| failure)
    }

    /// The scopes of the request whose failure is [`Record::last_failure`].
    pub(crate) fn last_failed_scope(&self) -> Option<&str> {
        self.last_failed_request().map(|(scopes, _)| scopes.as_str())
    }

    fn last_failed_request(&self) -> Option<(&String, &Failure)> {
        let newest_token = self.current.tokens.values().map(Token::issued_at).max();
        let concerns_login = |(scopes, failure): &(&String, &Failure)| {
            self.current.tokens.contains_key(*scopes)
                || (!is_refused_scope(scopes, failure) && newest_token.is_none_or(|at| failure.at >= at))
        };
        self.current.failures.iter().filter(concerns_login).max_by_key(|(_, failure)| failure.at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.grant.is_none() && self.current.tokens.is_empty()
    }

    /// Why no login can be used although one is stored: it is of another issuer or account, or in an unusable file.
    pub(crate) fn why_empty(&self) -> Option<String> {
        if self.login_problem.is_some() && self.grant().is_none() {
            return self.login_problem.clone();
        }
        let other = self.other_issuers.last().filter(|_| self.is_empty())?;
        let (theirs, ours) = (other.issuer.issuer.describe(), self.issuer().describe());
        Some(if theirs == ours && !other.issuer.issuer.same_as(self.issuer()) {
            "the stored login belongs to an older client secret".to_owned()
        } else if theirs == ours {
            format!(
                "the stored login belongs to {}, and the configuration names another account",
                other.account.as_deref()?
            )
        } else {
            format!("the stored login is from {theirs}, and the configuration names {ours}")
        })
    }

    /// Returns a [`crate::ErrorKind::LoginRequired`] error that says why no grant can be used.
    #[must_use]
    pub fn login_missing(&self) -> Error {
        match self.grant() {
            Some(_) => Error::new(
                crate::ErrorCode::GrantRefused,
                "the login has expired: the service no longer accepts its refresh token",
            ),
            None => Error::login_required("not logged in"),
        }
    }

    /// Fails if the service has refused the password with this [`crate::fingerprint`], unless the request is forced:
    /// repeated wrong passwords lock accounts.
    pub fn check_password(&self, secret_fingerprint: &str, request: &TokenRequest) -> crate::Result<()> {
        let is_same = |failure: &Failure| failure.secret_fingerprint.as_deref() == Some(secret_fingerprint);
        if request.is_forced() || !self.current.failures.values().any(is_same) {
            return Ok(());
        }
        Err(Error::new(
            crate::ErrorCode::PasswordRefused,
            "the service has refused this password before; it is not tried again automatically",
        )
        .with_secret_fingerprint(secret_fingerprint.to_owned())
        .with_hint(Hint::CorrectPassword))
    }

    pub(crate) fn has_other_issuers(&self) -> bool {
        !self.other_issuers.is_empty()
    }

    pub(crate) fn set_grant(&mut self, mut grant: Grant) {
        // A new grant proves that the password was accepted.
        self.current.failures.values_mut().for_each(|failure| failure.secret_fingerprint = None);
        // A rotated grant is the same login: it keeps the fields of newer versions.
        grant.unknown = self.current.grant.take().map(|before| before.unknown).unwrap_or_default();
        self.current.grant = Some(grant);
    }

    pub(crate) fn refuse_grant(&mut self, now: DateTime<Utc>) {
        if let Some(grant) = &mut self.current.grant {
            grant.refused_at = Some(now);
        }
    }

    /// Notes that the grant is about to be sent, or (`None`) that the response has arrived.
    pub(crate) fn set_sent(&mut self, at: Option<DateTime<Utc>>) {
        if let Some(grant) = &mut self.current.grant {
            grant.sent_at = at;
        }
    }

    pub(crate) fn set_id_token(&mut self, id_token: Secret) {
        self.current.id_token = Some(id_token);
    }

    /// The metadata that [`crate::RecordUpdate::and_metadata`] stored under this key for the record's issuer.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.current.metadata.get(key)
    }

    pub(crate) fn set_metadata(&mut self, key: &str, value: Value) {
        self.current.metadata.insert(key.to_owned(), value);
    }

    pub(crate) fn set_account(&mut self, account: Option<String>) {
        self.current.account = account;
    }

    /// Removes the tokens for which `keep` is false.
    pub(crate) fn retain_tokens(&mut self, keep: impl Fn(&Token) -> bool) {
        self.current.tokens.retain(|_, token| keep(token));
    }

    /// Removes a token that the service rejects; the service may still list it.
    pub(crate) fn drop_token(&mut self, scopes: &ScopeKey) {
        let before = self.current.tokens.remove(scopes.as_str());
        self.current.supersede(before);
    }

    /// Removes a token because a caller reported that the service rejected it.
    pub(crate) fn reject_token(&mut self, scopes: &ScopeKey, now: DateTime<Utc>) {
        self.drop_token(scopes);
        self.current.rejections.insert(scopes.as_str().to_owned(), Rejection::new(now));
    }

    pub(crate) fn set_token(&mut self, scopes: &ScopeKey, token: Token) {
        self.current.failures.remove(scopes.as_str());
        let now = token.issued_at();
        let before = self.current.tokens.insert(scopes.as_str().to_owned(), token);
        self.current.supersede(before);
        self.current.superseded.retain(|token| token.expires_at.is_none_or(|at| at > now));
    }

    /// Stores a failure. Of refused scopes without a token only the newest is kept, so that mistyped scopes do not
    /// accumulate.
    pub(crate) fn set_failure(&mut self, scopes: &ScopeKey, failure: Failure) {
        let state = &mut self.current;
        state.failures.retain(|scopes, failure| {
            state.tokens.contains_key(scopes) || !is_refused_scope(scopes, failure)
        });
        state.failures.insert(scopes.as_str().to_owned(), failure);
    }

    /// Returns the record with the state of this issuer and account as the current one. The state of other issuers
    /// and accounts is kept beside it.
    pub(crate) fn of_issuer(mut self, issuer: &Issuer, account: Option<&str>, now: DateTime<Utc>) -> Self {
        if self.current.belongs_to(issuer, account) {
            // The stored fingerprint may be missing.
            if issuer.secret_fingerprint.is_some() {
                self.current.issuer.issuer.secret_fingerprint.clone_from(&issuer.secret_fingerprint);
            }
            return self;
        }
        let found = self.other_issuers.iter().position(|state| state.belongs_to(issuer, account));
        let state =
            found.map_or_else(|| IssuerState::new(issuer.clone()), |index| self.other_issuers.remove(index));
        let before = std::mem::replace(&mut self.current, state);
        self.other_issuers.push(before);
        self.other_issuers.retain(|state| state.is_worth_keeping(now));
        self
    }

    /// Returns an empty record for a new login, which keeps the state of other issuers.
    pub(crate) fn for_new_login(&self, issuer: &Issuer) -> Self {
        Self {
            current: IssuerState::new(issuer.clone()),
            login_problem: None,
            new_login: true,
            ..self.clone()
        }
    }
}

/// Whether a failure is a refusal of the scopes rather than of the login.
fn is_refused_scope(scopes: &str, failure: &Failure) -> bool {
    !scopes.is_empty() && failure.is_refused_request()
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Unknown fields may contain secrets of newer versions.
        f.debug_struct("Record")
            .field("provider", &self.provider)
            .field("issuer", self.issuer())
            .field("account", &self.current.account)
            .field("grant", &self.current.grant.is_some())
            .field("tokens", &self.current.tokens)
            .finish_non_exhaustive()
    }
}
