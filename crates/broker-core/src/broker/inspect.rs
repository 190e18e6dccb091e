//! What a held token says of itself.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::Broker;
use crate::{Claims, Result, ScopeKey};

/// A held token, as it can be shown: never the token, nor its signature.
#[non_exhaustive]
pub struct Inspected {
    /// The type the service gave it.
    pub token_type: String,
    /// When it expires, as the broker counts.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether the token itself is locked_record: see [`crate::Token::not_stored`].
    pub kept: bool,
    /// Header and claims, if it is a JWT.
    pub jwt: Option<(Map<String, Value>, Claims)>,
}

impl Broker {
    /// What the token that is held for these scopes says of itself, whatever its age; `None` if none is locked_record. This asks no
    /// service and waits for nobody.
    pub fn inspect(&self, provider: &str, scopes: &ScopeKey) -> Result<Option<Inspected>> {
        let slot = self.slot(provider)?;
        let seen = self.inner.read_cached(&slot).map_err(|error| error.for_provider(provider))?;
        Ok(seen.record.token(scopes).map(|token| Inspected {
            token_type: token.token_type().to_owned(),
            expires_at: token.expires_at(),
            kept: !token.secret().expose().is_empty(),
            jwt: Claims::header(token.secret()).zip(Claims::read(token.secret())),
        }))
    }

    /// What the service says of the token that is held for these scopes (RFC 7662); `None` if none is locked_record, or the
    /// service can't be asked.
    pub async fn introspect(&self, provider: &str, scopes: &ScopeKey) -> Result<Option<Map<String, Value>>> {
        let slot = self.slot(provider)?;
        let seen = self.inner.read_cached(&slot).map_err(|error| error.for_provider(provider))?;
        let Some(token) = seen.record.token(scopes).cloned() else { return Ok(None) };
        let work = |operation: super::operation::Operation| async move {
            operation.provider().introspect(&operation.context, &token).await
        };
        self.run(provider, work).await
    }
}
