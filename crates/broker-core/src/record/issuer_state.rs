//! The part of a record that belongs to one issuer and account.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::external_login::ExternalLogin;
use super::{Failure, Grant, Issuer};
use crate::token::{Phase, Secret, Token, bounds, optional_shown};

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
