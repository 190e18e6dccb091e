//! The record: everything stored for one provider, saved as one atomic unit.

mod external_login;
mod failure;
mod grant;
mod issuer_state;
mod refused;
mod update;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::token::{Phase, ScopeKey, Token, bounds, zeroizing};
use issuer_state::{IssuerState, Rejection};

pub use external_login::FileLogin;
pub use failure::Failure;
pub use grant::Grant;
pub(crate) use grant::Intent;
pub use issuer_state::Issuer;
pub use update::RecordUpdate;

/// The version number of unencrypted record files.
pub(crate) const FORMAT: u64 = 1;

/// Everything stored for one provider: issuer, grant, and tokens by scope. A save keeps unknown fields of newer
/// broker versions.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Record(pub(crate) Fields);

/// The fields of a record, with its secrets.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Fields {
    pub(crate) version: u64,
    pub(crate) provider: String,
    /// The number of saves of the record.
    #[serde(default, deserialize_with = "bounds::count")]
    revision: u64,
    /// A random ID, which is new if the record was removed and created again; missing in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// The number of logins. A copy with a newer login is newer than every copy with renewals of the earlier login.
    #[serde(default, deserialize_with = "bounds::count")]
    logins: u64,
    /// The number of times that the service issued a grant, or a token without a grant.
    #[serde(default, deserialize_with = "bounds::count")]
    grants: u64,
    #[serde(flatten)]
    current: IssuerState,
    /// The logins of other issuers. The broker uses such a login again if the configuration names its issuer again.
    #[serde(rename = "parked", default, skip_serializing_if = "Vec::is_empty")]
    other_issuers: Vec<IssuerState>,
    /// Why the stored login cannot be used, such as an invalid login file.
    #[serde(skip)]
    pub(crate) login_problem: Option<String>,
    /// Whether the record belongs to a new login that replaces the stored login.
    #[serde(skip)]
    pub(crate) new_login: bool,
    /// The storage format of the stored record; `None` if the record was never stored.
    #[serde(skip)]
    pub(crate) format: Option<StorageFormat>,
}

/// The storage format of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageFormat {
    /// The record is not encrypted, or the file contains no record.
    Plain,
    /// The record is encrypted with the named method, such as a passphrase or the OS keyring.
    Sealed(String),
}

/// Whether `name` is valid for a provider: at most 64 ASCII letters, digits, `-` and `_`, not beginning with `-`.
pub fn is_provider_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain) && !name.starts_with('-')
}

impl Record {
    /// Creates an empty record.
    #[must_use]
    pub fn new(provider: &str, issuer: Issuer) -> Self {
        Self(Fields {
            version: FORMAT,
            provider: provider.to_owned(),
            current: IssuerState::new(issuer),
            ..Fields::default()
        })
    }

    /// Returns the record as JSON with its secrets, for a store. Fails if stored metadata cannot be JSON.
    pub fn to_json(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        zeroizing::json(&self.0, true)
    }

    /// Returns a value to compare copies of a record: newer copies have a greater value. The numbers of logins and of
    /// grants decide first, because failed attempts increase the revision too. Clocks may be wrong.
    pub(crate) fn age(&self) -> impl Ord + use<> {
        (self.0.logins, self.0.grants, self.0.revision)
    }

    /// Whether `other` is a copy of this record, and not of a record that was removed.
    pub(crate) fn is_copy_of(&self, other: &Self) -> bool {
        self.0.origin == other.0.origin
    }

    pub(crate) fn revise(&mut self) {
        if self.0.revision == 0 {
            self.0.origin = Some(format!("{:016x}", fastrand::u64(..)));
        }
        self.0.revision = self.0.revision.saturating_add(1);
    }

    /// Returns the issuer of the grant and the tokens.
    pub fn issuer(&self) -> &Issuer {
        &self.0.current.issuer.issuer
    }

    /// Returns the account's name that is shown to the user.
    pub fn account(&self) -> Option<&str> {
        self.0.current.account.as_deref()
    }

    /// Returns the stored login (such as a refresh token), even if the service has refused it.
    pub fn grant(&self) -> Option<&Grant> {
        self.0.current.grant.as_ref()
    }

    /// Returns the stored login (such as a refresh token), unless the service has refused it.
    pub fn usable_grant(&self) -> Option<&Grant> {
        self.grant().filter(|grant| grant.0.refused_at.is_none() && !grant.secret().expose().is_empty())
    }

    /// Returns the token for these scopes, even if it has expired.
    pub fn token(&self, scopes: &ScopeKey) -> Option<&Token> {
        self.0.current.tokens.get(scopes.as_str())
    }

    /// Returns the token for these scopes, unless it has expired or is about to expire ([`Phase::Blocking`]).
    pub fn usable_token(&self, scopes: &ScopeKey, now: DateTime<Utc>) -> Option<&Token> {
        self.token(scopes).filter(|token| matches!(token.window().phase(now), Phase::Fresh | Phase::Advisory))
    }

    /// Iterates over all tokens of the record with their scopes.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.0.current.tokens.iter().map(|(scopes, token)| (scopes.as_str(), token))
    }

    /// Returns the stored token with the latest expiry.
    pub(crate) fn longest_token(&self) -> Option<&Token> {
        let end = |token: &&Token| token.expires_at().unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.0.current.tokens.values().max_by_key(end)
    }

    /// Iterates over the details ([`Token::with_details`]) of stored tokens and of replaced tokens that may be valid.
    pub fn details(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let stored = self.0.current.tokens.values().filter_map(Token::details);
        stored.chain(self.0.current.superseded.iter().map(|token| &token.details))
    }

    /// Returns the last failed attempt to get a token for these scopes, unless a token was issued later.
    pub fn failure(&self, scopes: &ScopeKey) -> Option<&Failure> {
        self.0.current.failures.get(scopes.as_str())
    }

    /// Returns the failure that delays the next attempt: with a `Retry-After`, or else the last for these scopes.
    pub(crate) fn waiting_failure(&self, scopes: &ScopeKey, now: DateTime<Utc>) -> Option<&Failure> {
        self.throttle(now).map(|(_, failure)| failure).or_else(|| self.failure(scopes))
    }

    /// Returns the end of the longest pause that a `Retry-After` requested, and the failure with that `Retry-After`.
    pub(crate) fn throttle(&self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &Failure)> {
        let pauses =
            self.0.current.failures.values().filter_map(|failure| Some((failure.throttles(now)?, failure)));
        pauses.max_by_key(|(until, _)| *until)
    }

    /// Returns the failure with the latest pause that the service requested, even if the pause has ended.
    pub(crate) fn latest_pause(&self) -> Option<&Failure> {
        let pauses = self.0.current.failures.values().filter(|failure| failure.resume_at.is_some());
        pauses.max_by_key(|failure| failure.resume_at)
    }

    /// Returns when the token for these scopes was last replaced because the service rejected it.
    pub(crate) fn rejected_at(&self, scopes: &ScopeKey) -> Option<DateTime<Utc>> {
        self.0.current.rejections.get(scopes.as_str()).map(|rejection| rejection.at)
    }

    /// Returns the newest failed attempt to get a token. Ignores an attempt with scopes that have no stored token, if
    /// the service refused these scopes or issued any token later.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failed_request().map(|(_, failure)| failure)
    }

    /// Returns the failure from [`Record::last_failure`], and the scopes that were requested.
    pub(crate) fn last_failed_request(&self) -> Option<(&String, &Failure)> {
        let newest_token = self.0.current.tokens.values().map(Token::issued_at).max();
        let concerns_login = |(scopes, failure): &(&String, &Failure)| {
            self.0.current.tokens.contains_key(*scopes)
                || (!failure.is_refused_scope(scopes) && newest_token.is_none_or(|at| failure.at >= at))
        };
        self.0.current.failures.iter().filter(concerns_login).max_by_key(|(_, failure)| failure.at)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.current.grant.is_none() && self.0.current.tokens.is_empty()
    }

    /// Returns why the stored login cannot be used, such as another issuer or an invalid login file.
    pub(crate) fn why_empty(&self) -> Option<String> {
        if self.0.login_problem.is_some() && self.grant().is_none() {
            return self.0.login_problem.clone();
        }
        let other = self.0.other_issuers.last().filter(|_| self.is_empty())?;
        let (theirs, ours) = (other.issuer.issuer.describe(), self.issuer().describe());
        Some(if theirs == ours && !other.issuer.issuer.knows_environment(self.issuer()) {
            "the stored login was made without the URL, hosts or program that environment variables set now"
                .to_owned()
        } else if theirs == ours && !other.issuer.issuer.same_as(self.issuer()) {
            "the stored login belongs to an older client secret".to_owned()
        } else if theirs == ours {
            let account = other.account.as_deref()?;
            format!("the stored login belongs to {account}, and the configuration names another account")
        } else {
            format!("the stored login is from the issuer {theirs}, and the configuration names {ours}")
        })
    }

    pub(crate) fn has_other_issuers(&self) -> bool {
        !self.0.other_issuers.is_empty()
    }

    pub(crate) fn set_grant(&mut self, mut grant: Grant) {
        // A new refresh token proves that the service accepted the stored password.
        self.0.current.failures.values_mut().for_each(|failure| failure.secret_fingerprint = None);
        // Keeps unknown fields of the old grant, which newer broker versions wrote for the same login.
        grant.0.unknown = self.0.current.grant.take().map(|before| before.0.unknown).unwrap_or_default();
        self.0.current.grant = Some(grant);
        self.0.grants = self.0.grants.saturating_add(1);
    }

    /// Returns the refresh intent of the grant: see [`Grant::sent_at`].
    pub(crate) fn intent(&self) -> Intent {
        self.grant().map(|grant| grant.0.intent).unwrap_or_default()
    }

    pub(crate) fn set_intent(&mut self, intent: Intent) {
        if let Some(grant) = &mut self.0.current.grant {
            grant.0.intent = intent;
        }
    }

    /// Returns the metadata that [`RecordUpdate::and_metadata`] stored under this key for the record's issuer.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.0.current.metadata.get(key)
    }

    pub(crate) fn retain_tokens(&mut self, keep: impl Fn(&mut Token) -> bool) {
        self.0.current.tokens.retain(|_, token| keep(token));
    }

    /// Removes a rejected token. A logout still deletes the token at services that list tokens by name.
    fn drop_token(&mut self, scopes: &ScopeKey) {
        let before = self.0.current.tokens.remove(scopes.as_str());
        self.0.current.supersede(before);
    }

    /// Removes a token from the record, because a caller reported that the service rejected the token.
    pub(crate) fn reject_token(&mut self, scopes: &ScopeKey, now: DateTime<Utc>) {
        self.drop_token(scopes);
        let rejection = Rejection { at: now, unknown: Map::new() };
        self.0.current.rejections.insert(scopes.as_str().to_owned(), rejection);
    }

    pub(crate) fn set_token(&mut self, scopes: &ScopeKey, token: Token) {
        self.0.current.failures.remove(scopes.as_str());
        let now = token.issued_at();
        let before = self.0.current.tokens.insert(scopes.as_str().to_owned(), token);
        self.0.current.supersede(before);
        self.0.current.superseded.retain(|token| token.expires_at.is_none_or(|at| at > now));
    }

    /// Stores a failure. Removes earlier refusals of scopes that have no stored token: users often mistype scopes.
    pub(crate) fn set_failure(&mut self, scopes: &ScopeKey, failure: Failure) {
        let IssuerState { failures, tokens, .. } = &mut self.0.current;
        failures.retain(|scopes, failure| tokens.contains_key(scopes) || !failure.is_refused_scope(scopes));
        failures.insert(scopes.as_str().to_owned(), failure);
    }

    /// Makes the login of this issuer and account the current login. The previous login stays in the record.
    pub(crate) fn of_issuer(mut self, issuer: &Issuer, account: Option<&str>, now: DateTime<Utc>) -> Self {
        if self.0.current.belongs_to(issuer, account) {
            // A record of an older broker version may lack the fingerprints of the client secret and the environment.
            if issuer.secret_fingerprint.is_some() {
                self.0.current.issuer.issuer.secret_fingerprint.clone_from(&issuer.secret_fingerprint);
            }
            let bound = &mut self.0.current.issuer.issuer.environment;
            *bound = bound.take().or_else(|| issuer.environment.clone());
            return self;
        }
        let found = self.0.other_issuers.extract_if(.., |state| state.belongs_to(issuer, account)).next();
        let state = found.unwrap_or_else(|| IssuerState::new(issuer.clone()));
        let mut before = std::mem::replace(&mut self.0.current, state);
        // Parsers accept fewer levels here than in the current state.
        before.metadata.retain(|_, value| bounds::is_shallow(value));
        self.0.other_issuers.push(before);
        self.0.other_issuers.retain(|state| state.is_worth_keeping(now));
        self
    }

    /// Returns a copy of the record for a new login: without the current login, but with the logins of other issuers.
    pub(crate) fn for_new_login(&self, issuer: &Issuer) -> Self {
        let current = IssuerState::new(issuer.clone());
        let logins = self.0.logins.saturating_add(1);
        Self(Fields { current, logins, login_problem: None, new_login: true, ..self.0.clone() })
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Omits unknown fields of newer broker versions, which may contain secrets.
        f.debug_struct("Record")
            .field("provider", &self.0.provider)
            .field("issuer", self.issuer())
            .field("account", &self.0.current.account)
            .field("grant", &self.0.current.grant.is_some())
            .field("tokens", &self.0.current.tokens)
            .finish_non_exhaustive()
    }
}
