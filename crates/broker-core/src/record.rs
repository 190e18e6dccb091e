//! All that is held for one provider: one atomic unit.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ErrorKind, Phase, ScopeKey, Secret, Token};

/// The format of record files this version writes. It reads only this one.
pub(crate) const FORMAT: u64 = 1;

/// All that is held for one provider: issuer, grant, tokens by scope. Its JSON form is the promised format
/// of record files; fields that this version does not know survive a rewrite.
#[derive(Clone, Serialize, Deserialize)]
pub struct Record {
    version: u64,
    provider: String,
    #[serde(flatten)]
    held: Held,
    /// What earlier issuers gave, should the configuration name them again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    parked: Vec<Held>,
}

/// What one issuer gave.
#[derive(Clone, Serialize, Deserialize)]
struct Held {
    issuer: Issuer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<Grant>,
    #[serde(default)]
    tokens: BTreeMap<String, Token>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failures: BTreeMap<String, Failure>,
    /// Tokens that the service lists by name, which were replaced before they expired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced: Vec<Replaced>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A token that still lives at the service, without its secret.
#[derive(Clone, Serialize, Deserialize)]
struct Replaced {
    expires_at: Option<DateTime<Utc>>,
    details: Map<String, Value>,
}

/// Who gives grants and tokens. A grant goes only to the issuer that gave it (RFC 9700 section 4.4), so this
/// is part of the record, and a record of another issuer is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The provider's kind.
    pub kind: String,
    /// How grants are had: `device_code`, `client_credentials`, `password`.
    pub flow: String,
    /// Where they are exchanged.
    pub endpoint: String,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// A [`crate::mark`] of the client's secret: another secret is another account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mark: Option<String>,
}

impl Issuer {
    /// In words: where, as whom, for whom.
    fn describe(&self) -> String {
        let client = self.client_id.as_ref().map(|client| format!(", client {client}")).unwrap_or_default();
        let audience =
            self.audience.as_ref().map(|audience| format!(", audience {audience}")).unwrap_or_default();
        format!("{} ({}{client}{audience})", self.endpoint, self.flow)
    }

    /// Whether what `other` gave may be used. A mark that is not known on both sides tells nothing.
    fn same_as(&self, other: &Self) -> bool {
        let marks_differ = matches!((&self.secret_mark, &other.secret_mark), (Some(a), Some(b)) if a != b);
        !marks_differ
            && Self { secret_mark: None, ..self.clone() } == Self { secret_mark: None, ..other.clone() }
    }
}

/// What was given for the long term: a refresh token, a stored login.
#[derive(Clone, Serialize, Deserialize)]
pub struct Grant {
    #[serde(serialize_with = "Secret::write")]
    secret: Secret,
    issued_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

impl Grant {
    pub(crate) fn new(secret: Secret, issued_at: DateTime<Utc>) -> Self {
        Self { secret, issued_at, refused_at: None, unknown: Map::new() }
    }

    /// The secret that buys tokens.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// When the service refused it for good, if it did.
    #[must_use]
    pub fn refused_at(&self) -> Option<DateTime<Utc>> {
        self.refused_at
    }
}

/// The last try for a token failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: DateTime<Utc>,
    /// How.
    pub kind: ErrorKind,
    /// In words; never with a secret in them.
    pub message: String,
    /// In the advisory window nobody tries again before.
    pub retry_at: DateTime<Utc>,
    /// A [`crate::mark`] of the password that was refused, so that it is never tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_mark: Option<String>,
}

impl Record {
    /// An empty record.
    #[must_use]
    pub fn new(provider: &str, issuer: Issuer) -> Self {
        Self { version: FORMAT, provider: provider.to_owned(), held: Held::new(issuer), parked: Vec::new() }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn provider(&self) -> &str {
        &self.provider
    }

    /// Who gave what is in it.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.held.issuer
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
        self.grant().filter(|grant| grant.refused_at.is_none())
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

    /// The newest failure of any scope.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.held.failures.values().max_by_key(|failure| failure.at)
    }

    /// Whether a mark of a refused password is on record.
    #[must_use]
    pub fn has_refused(&self, secret_mark: &str) -> bool {
        self.held.failures.values().any(|failure| failure.secret_mark.as_deref() == Some(secret_mark))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.grant.is_none() && self.held.tokens.is_empty()
    }

    /// Why the record is empty although something is held: another issuer or account gave it.
    pub(crate) fn parked_instead(&self) -> Option<String> {
        let other = self.parked.last().filter(|_| self.is_empty())?;
        let (theirs, ours) = (other.issuer.describe(), self.held.issuer.describe());
        Some(if theirs == ours && !other.issuer.same_as(&self.held.issuer) {
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

    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    pub(crate) fn set_grant(&mut self, grant: Grant) {
        // Whoever has a new grant had a password that works.
        self.held.failures.values_mut().for_each(|failure| failure.secret_mark = None);
        self.held.grant = Some(grant);
    }

    pub(crate) fn refuse_grant(&mut self, now: DateTime<Utc>) {
        if let Some(grant) = &mut self.held.grant {
            grant.refused_at = Some(now);
        }
    }

    pub(crate) fn set_account(&mut self, account: Option<String>) {
        self.held.account = account;
    }

    pub(crate) fn drop_token(&mut self, scopes: &ScopeKey) {
        self.held.tokens.remove(scopes.as_str());
    }

    pub(crate) fn set_token(&mut self, scopes: &ScopeKey, token: Token) {
        self.held.failures.remove(scopes.as_str());
        let now = token.issued_at();
        let before = self.held.tokens.insert(scopes.as_str().to_owned(), token);
        let listed = before.and_then(|token| {
            Some(Replaced { expires_at: token.expires_at(), details: token.details()?.clone() })
        });
        self.held.replaced.extend(listed);
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
            if issuer.secret_mark.is_some() {
                self.held.issuer.secret_mark.clone_from(&issuer.secret_mark);
            }
            return self;
        }
        let found = self.parked.iter().position(|held| held.is_of(issuer, account));
        let held = found.map_or_else(|| Held::new(issuer.clone()), |index| self.parked.remove(index));
        let before = std::mem::replace(&mut self.held, held);
        self.parked.push(before);
        self.parked.retain(|held| held.is_worth_keeping(now));
        self
    }

    /// A record for a new login: nothing of the old one but what other issuers gave.
    pub(crate) fn for_new_login(&self, issuer: &Issuer) -> Self {
        Self { held: Held::new(issuer.clone()), ..self.clone() }
    }
}

impl Held {
    fn new(issuer: Issuer) -> Self {
        Self {
            issuer,
            account: None,
            grant: None,
            tokens: BTreeMap::new(),
            failures: BTreeMap::new(),
            replaced: Vec::new(),
            unknown: Map::new(),
        }
    }

    fn is_of(&self, issuer: &Issuer, account: Option<&str>) -> bool {
        let accounts_differ =
            matches!((account, &self.account), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
        !accounts_differ && self.issuer.same_as(issuer)
    }

    fn is_worth_keeping(&self, now: DateTime<Utc>) -> bool {
        self.grant.is_some() || self.tokens.values().any(|token| token.window().phase(now) != Phase::Expired)
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Unknown fields may hold secrets of newer versions: they are not shown.
        f.debug_struct("Record")
            .field("provider", &self.provider)
            .field("issuer", &self.held.issuer)
            .field("account", &self.held.account)
            .field("grant", &self.held.grant.is_some())
            .field("tokens", &self.held.tokens)
            .finish_non_exhaustive()
    }
}
