//! Issuers, and the part of a record that belongs to one issuer and account.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::external_login::ExternalLogin;
use super::{Failure, Grant};
use crate::token::{Phase, Secret, Token, bounds, optional_shown, without_query};

/// The issuer of grants and tokens. A grant is sent only to the issuer that issued it (RFC 9700 section 4.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The kind of the provider, such as `oauth2`.
    pub kind: String,
    /// The flow that gets grants: `device_code`, `client_credentials`, `password`.
    pub flow: String,
    /// The URL of the token endpoint.
    pub endpoint: String,
    /// The OAuth client ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The audience of the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// A [`crate::token::fingerprint`] of the client secret: another client secret means another account.
    #[serde(rename = "secret_mark", default, skip_serializing_if = "Option::is_none")]
    pub secret_fingerprint: Option<String>,
    /// Fingerprints of the URLs, hosts and programs that environment variables set (`Settings::bound`). `None`
    /// in records of older versions.
    #[serde(rename = "from_environment", default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeSet<String>>,
}

impl Issuer {
    /// Creates an issuer from its required fields. The other fields are public, and empty at first.
    #[must_use]
    pub fn new(kind: &str, flow: &str, endpoint: &str) -> Self {
        let [kind, flow, endpoint] = [kind, flow, endpoint].map(str::to_owned);
        Self { kind, flow, endpoint, ..Self::default() }
    }

    /// Describes endpoint, flow, client and audience of the issuer for an error message.
    pub(super) fn describe(&self) -> String {
        let mut about = self.flow.clone();
        about.extend(self.client_id.iter().map(|client| format!(", client {client}")));
        about.extend(self.audience.iter().map(|audience| format!(", audience {}", without_query(audience))));
        format!("{} ({about})", without_query(&self.endpoint))
    }

    /// Whether grants of this stored issuer may be sent to `configured`. A missing fingerprint matches every client
    /// secret, and a missing `environment` every URL.
    pub(super) fn same_as(&self, configured: &Self) -> bool {
        let (ours, theirs) = (&self.secret_fingerprint, &configured.secret_fingerprint);
        let same_secret = ours == theirs || ours.is_none() || theirs.is_none();
        let (secret_fingerprint, environment) = (ours.clone(), self.environment.clone());
        same_secret
            && self.knows_environment(configured)
            && *self == Self { secret_fingerprint, environment, ..configured.clone() }
    }

    /// Whether this stored issuer was used with all URLs, hosts and programs that the environment sets now.
    pub(super) fn knows_environment(&self, configured: &Self) -> bool {
        let both = self.environment.as_ref().zip(configured.environment.as_ref());
        both.is_none_or(|(known, set)| set.is_subset(known))
    }
}

/// The grant, tokens and failures of one issuer and account.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct IssuerState {
    pub(super) issuer: StoredIssuer,
    #[serde(default, deserialize_with = "optional_shown", skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "Grant::write")]
    pub(super) grant: Option<Grant>,
    /// When a renewal was interrupted, although a later renewal succeeded. A new login removes the time.
    #[serde(default, deserialize_with = "bounds::optional_time", skip_serializing_if = "Option::is_none")]
    pub(super) interrupted_at: Option<DateTime<Utc>>,
    /// An ID token, stored only for the service's own tools.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "Secret::write_optional")]
    pub(super) id_token: Option<Secret>,
    /// The login file that contains the grant.
    #[serde(rename = "shared", default, skip_serializing_if = "Option::is_none")]
    pub(super) external: Option<ExternalLogin>,
    #[serde(default, serialize_with = "Token::write")]
    pub(super) tokens: BTreeMap<String, Token>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) failures: BTreeMap<String, Failure>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) rejections: BTreeMap<String, Rejection>,
    /// Replaced tokens that are still valid at the service, which lists tokens by name.
    #[serde(rename = "replaced", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) superseded: Vec<SupersededToken>,
    #[serde(rename = "kept", default, skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

/// The issuer, and unknown fields that newer broker versions wrote.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct StoredIssuer {
    #[serde(flatten)]
    pub(super) issuer: Issuer,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A replaced token that is still valid at the service, without its secret.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SupersededToken {
    #[serde(default, deserialize_with = "bounds::optional_time")]
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) details: Map<String, Value>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// When the broker last replaced a token because the service rejected it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Rejection {
    #[serde(deserialize_with = "bounds::time")]
    pub(super) at: DateTime<Utc>,
    #[serde(flatten)]
    pub(super) unknown: Map<String, Value>,
}

impl IssuerState {
    pub(super) fn new(issuer: Issuer) -> Self {
        Self { issuer: StoredIssuer { issuer, unknown: Map::new() }, ..Self::default() }
    }

    /// Remembers a replaced token if the service lists tokens by name. A logout then deletes that token too.
    pub(super) fn supersede(&mut self, token: Option<Token>) {
        let listed = token.and_then(|token| {
            let details = token.details().filter(|details| details.contains_key("name"))?.clone();
            Some(SupersededToken { expires_at: token.expires_at(), details, unknown: Map::new() })
        });
        self.superseded.extend(listed);
    }

    pub(super) fn belongs_to(&self, issuer: &Issuer, account: Option<&str>) -> bool {
        let accounts_differ =
            matches!((account, &self.account), (Some(a), Some(b)) if !a.eq_ignore_ascii_case(b));
        !accounts_differ && self.issuer.issuer.same_as(issuer)
    }

    pub(super) fn is_worth_keeping(&self, now: DateTime<Utc>) -> bool {
        self.grant.is_some() || self.tokens.values().any(|token| token.window().phase(now) != Phase::Expired)
    }
}
