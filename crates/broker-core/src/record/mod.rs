//! All that is held for one provider: one atomic unit.

mod external_login;
mod failure;
mod grant;
mod issuer;
mod wanting;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Phase, ScopeKey, Secret, Token};
use external_login::Shared;

pub use failure::Failure;
pub use grant::Grant;
pub use issuer::Issuer;

/// The format of record files this version writes. It reads only this one.
pub(crate) const FORMAT: u64 = 1;

/// All that is held for one provider: issuer, grant, tokens by scope. Its JSON form is the promised format
/// of record files; fields that this version does not know survive a rewrite.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    version: u64,
    provider: String,
    /// Grows with each save: of two records the higher one is the newer.
    #[serde(default)]
    revision: u64,
    #[serde(flatten)]
    held: IssuerState,
    /// What earlier issuers gave, should the configuration name them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parked: Vec<IssuerState>,
    /// Why a login that should be there cannot be used now.
    #[serde(skip)]
    trouble: Option<String>,
    /// Whether a person has just logged in.
    #[serde(skip)]
    new_login: bool,
}

/// What one issuer gave.
#[derive(Clone, Serialize, Deserialize)]
struct IssuerState {
    issuer: Named,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<Grant>,
    /// What came with the login besides; only the service's own tools need it.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "write_secret")]
    id_token: Option<Secret>,
    /// The file of the service's own tools that has the login, if one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared: Option<Shared>,
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<String, Failure>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rejections: BTreeMap<String, Rejection>,
    /// Tokens that the service lists by name, which were replaced before they expired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Replaced>,
    /// What the provider keeps for itself: see [`Record::kept`].
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    kept: Map<String, Value>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// The issuer as it stands in a record.
#[derive(Clone, Serialize, Deserialize)]
struct Named {
    #[serde(flatten)]
    issuer: Issuer,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A token that still lives at the service, without its secret.
#[derive(Clone, Serialize, Deserialize)]
struct Replaced {
    expires_at: Option<DateTime<Utc>>,
    details: Map<String, Value>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// When a caller last said that the service does not take its token, and another was made for that.
#[derive(Clone, Serialize, Deserialize)]
struct Rejection {
    at: DateTime<Utc>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Record {
    /// An empty record.
    #[must_use]
    pub fn new(provider: &str, issuer: Issuer) -> Self {
        let held = IssuerState::new(issuer);
        Self {
            version: FORMAT,
            provider: provider.to_owned(),
            revision: 0,
            held,
            parked: Vec::new(),
            trouble: None,
            new_login: false,
        }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// Of two records the greater is the newer: failures and refusals raise the revision, but only an answer of the
    /// service gives another grant.
    pub(crate) fn age(&self) -> (Option<DateTime<Utc>>, u64) {
        (self.grant().map(Grant::issued_at), self.revision)
    }

    /// Counts a save.
    pub(crate) fn revise(&mut self) {
        self.revision = self.revision.saturating_add(1);
    }

    /// Who gave what is in it.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.held.issuer.issuer
    }

    /// Whose it is, as the person knows it.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.held.account.as_deref()
    }

    /// The grant, also one that was refused.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.held.grant.as_ref()
    }

    /// The grant, unless the service has refused it.
    #[must_use]
    pub fn usable_grant(&self) -> Option<&Grant> {
        self.grant().filter(|grant| grant.refused_at.is_none() && !grant.secret.expose().is_empty())
    }

    /// The token for these scopes, whatever its age.
    #[must_use]
    pub fn token(&self, scopes: &ScopeKey) -> Option<&Token> {
        self.held.tokens.get(scopes.as_str())
    }

    /// The token for these scopes if it can be used for a request now: not in its blocking window.
    #[must_use]
    pub fn usable_token(&self, scopes: &ScopeKey, now: DateTime<Utc>) -> Option<&Token> {
        self.token(scopes).filter(|token| matches!(token.window().phase(now), Phase::Fresh | Phase::Advisory))
    }

    /// Every token and its scopes.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.held.tokens.iter().map(|(scopes, token)| (scopes.as_str(), token))
    }

    /// What the service said of each token that may still live there: see [`Token::with_details`].
    pub fn details(&self) -> impl Iterator<Item = &Map<String, Value>> {
        let held = self.held.tokens.values().filter_map(Token::details);
        held.chain(self.held.replaced.iter().map(|replaced| &replaced.details))
    }

    /// The last failure to get a token for these scopes since one was given.
    #[must_use]
    pub fn failure(&self, scopes: &ScopeKey) -> Option<&Failure> {
        self.held.failures.get(scopes.as_str())
    }

    /// The failure that tells how long to wait: one after which the service asked to be left alone, whatever the
    /// scope; else the last one for these scopes.
    pub(crate) fn standing_failure(&self, scopes: &ScopeKey, now: DateTime<Utc>) -> Option<&Failure> {
        self.throttle(now).map(|(_, failure)| failure).or_else(|| self.failure(scopes))
    }

    /// Until when the service asked to be left alone, if that is later than `now`, and on what occasion.
    pub(crate) fn throttle(&self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &Failure)> {
        let asked =
            self.held.failures.values().filter_map(|failure| Some((failure.throttles(now)?, failure)));
        asked.max_by_key(|(until, _)| *until)
    }

    /// When the token for these scopes was last made anew because the service did not take the one before.
    pub(crate) fn rejected_at(&self, scopes: &ScopeKey) -> Option<DateTime<Utc>> {
        self.held.rejections.get(scopes.as_str()).map(|rejection| rejection.at)
    }

    /// The newest failure of any scope.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.held.failures.values().max_by_key(|failure| failure.at)
    }

    /// The scopes of the newest failure.
    pub(crate) fn last_failed_scope(&self) -> Option<&str> {
        self.held.failures.iter().max_by_key(|(_, failure)| failure.at).map(|(scope, _)| scope.as_str())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.grant.is_none() && self.held.tokens.is_empty()
    }

    /// Why no login is there although something is held: another issuer or account gave it, or a file cannot be used.
    pub(crate) fn why_empty(&self) -> Option<String> {
        if self.trouble.is_some() && self.grant().is_none() {
            return self.trouble.clone();
        }
        let other = self.parked.last().filter(|_| self.is_empty())?;
        let (theirs, ours) = (other.issuer.issuer.describe(), self.issuer().describe());
        Some(if theirs == ours && !other.issuer.issuer.same_as(self.issuer()) {
            "what is held was given for another client secret than the configuration has now".to_owned()
        } else if theirs == ours {
            format!(
                "what is held belongs to {}, and the configuration now names another account",
                other.account.as_deref()?
            )
        } else {
            format!("what is held was given by {theirs}, and the configuration now names {ours}")
        })
    }

    pub(crate) fn has_other_issuers(&self) -> bool {
        !self.parked.is_empty()
    }

    pub(crate) fn set_grant(&mut self, mut grant: Grant) {
        // Whoever has a new grant had a password that works.
        self.held.failures.values_mut().for_each(|failure| failure.secret_fingerprint = None);
        // A rotated grant is the same login: what newer versions keep with it stays.
        grant.unknown = self.held.grant.take().map(|before| before.unknown).unwrap_or_default();
        self.held.grant = Some(grant);
    }

    pub(crate) fn refuse_grant(&mut self, now: DateTime<Utc>) {
        if let Some(grant) = &mut self.held.grant {
            grant.refused_at = Some(now);
        }
    }

    /// Notes that the grant is about to be sent, or that its answer has come (`None`).
    pub(crate) fn set_sent(&mut self, at: Option<DateTime<Utc>>) {
        if let Some(grant) = &mut self.held.grant {
            grant.sent_at = at;
        }
    }

    pub(crate) fn set_id_token(&mut self, id_token: Secret) {
        self.held.id_token = Some(id_token);
    }

    /// What [`crate::RecordUpdate::and_metadata`] has kept under this key for the record's issuer.
    #[must_use]
    pub fn kept(&self, key: &str) -> Option<&Value> {
        self.held.kept.get(key)
    }

    pub(crate) fn keep(&mut self, key: &str, value: Value) {
        self.held.kept.insert(key.to_owned(), value);
    }

    pub(crate) fn set_account(&mut self, account: Option<String>) {
        self.held.account = account;
    }

    /// Forgets the tokens that may not be handed out any more.
    pub(crate) fn retain_tokens(&mut self, keep: impl Fn(&Token) -> bool) {
        self.held.tokens.retain(|_, token| keep(token));
    }

    /// Forgets a token that the service does not take; it may still be listed there.
    pub(crate) fn drop_token(&mut self, scopes: &ScopeKey) {
        let before = self.held.tokens.remove(scopes.as_str());
        self.held.replace(before);
    }

    /// Forgets a token because a caller says that it is not taken.
    pub(crate) fn reject_token(&mut self, scopes: &ScopeKey, now: DateTime<Utc>) {
        self.drop_token(scopes);
        self.held.rejections.insert(scopes.as_str().to_owned(), Rejection { at: now, unknown: Map::new() });
    }

    pub(crate) fn set_token(&mut self, scopes: &ScopeKey, token: Token) {
        self.held.failures.remove(scopes.as_str());
        let now = token.issued_at();
        let before = self.held.tokens.insert(scopes.as_str().to_owned(), token);
        self.held.replace(before);
        self.held.replaced.retain(|replaced| replaced.expires_at.is_none_or(|at| at > now));
    }

    pub(crate) fn set_failure(&mut self, scopes: &ScopeKey, failure: Failure) {
        self.held.failures.insert(scopes.as_str().to_owned(), failure);
    }

    /// The record as `issuer` and `account` may use it: what another issuer gave, or what was given to another
    /// account, is parked, and what was parked of theirs comes back.
    pub(crate) fn of_issuer(mut self, issuer: &Issuer, account: Option<&str>, now: DateTime<Utc>) -> Self {
        if self.held.is_of(issuer, account) {
            // The mark of the secret may only now be known.
            if issuer.secret_fingerprint.is_some() {
                self.held.issuer.issuer.secret_fingerprint.clone_from(&issuer.secret_fingerprint);
            }
            return self;
        }
        let found = self.parked.iter().position(|held| held.is_of(issuer, account));
        let held = found.map_or_else(|| IssuerState::new(issuer.clone()), |index| self.parked.remove(index));
        let before = std::mem::replace(&mut self.held, held);
        self.parked.push(before);
        self.parked.retain(|held| held.is_worth_keeping(now));
        self
    }

    /// A record for a new login: nothing of the old one but what other issuers gave.
    pub(crate) fn for_new_login(&self, issuer: &Issuer) -> Self {
        Self { held: IssuerState::new(issuer.clone()), trouble: None, new_login: true, ..self.clone() }
    }
}

impl IssuerState {
    fn new(issuer: Issuer) -> Self {
        Self {
            issuer: Named { issuer, unknown: Map::new() },
            account: None,
            grant: None,
            id_token: None,
            shared: None,
            tokens: BTreeMap::new(),
            failures: BTreeMap::new(),
            rejections: BTreeMap::new(),
            replaced: Vec::new(),
            kept: Map::new(),
            unknown: Map::new(),
        }
    }

    /// Keeps what the service lists of a token that is held no longer.
    fn replace(&mut self, token: Option<Token>) {
        let listed = token.and_then(|token| {
            let details = token.details().filter(|details| details.contains_key("name"))?.clone();
            Some(Replaced { expires_at: token.expires_at(), details, unknown: Map::new() })
        });
        self.replaced.extend(listed);
    }

    fn is_of(&self, issuer: &Issuer, account: Option<&str>) -> bool {
        let accounts_differ =
            matches!((account, &self.account), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
        !accounts_differ && self.issuer.issuer.same_as(issuer)
    }

    fn is_worth_keeping(&self, now: DateTime<Utc>) -> bool {
        self.grant.is_some() || self.tokens.values().any(|token| token.window().phase(now) != Phase::Expired)
    }
}

#[expect(clippy::ref_option, reason = "as serde calls it")]
fn write_secret<S: serde::Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => Secret::write(secret, serializer),
        None => serializer.serialize_none(),
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Unknown fields may hold secrets of newer versions: they are not shown.
        f.debug_struct("Record")
            .field("provider", &self.provider)
            .field("issuer", self.issuer())
            .field("account", &self.held.account)
            .field("grant", &self.held.grant.is_some())
            .field("tokens", &self.held.tokens)
            .finish_non_exhaustive()
    }
}
