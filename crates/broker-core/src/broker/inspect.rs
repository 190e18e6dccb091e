//! Shows a stored token's claims.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::ProviderHandle;
use crate::error::Result;
use crate::token::{Claims, ScopeKey};

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
