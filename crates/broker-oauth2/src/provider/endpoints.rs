//! The service's endpoints: configured, or discovered from the issuer's metadata.

use broker_core::{Error, ErrorCode, ErrorKind, Operation, Record, RecordUpdate, Result, ServiceUrl};
use chrono::{DateTime, Utc};

use super::OAuth2;
use super::config::Auth;
use crate::discovery::{Endpoint, Metadata, OTHER_ISSUER};

impl OAuth2 {
    /// Returns the configured URL of the endpoint, or the one in the issuer's metadata.
    pub(super) fn find(&self, found: Option<&Metadata>, endpoint: Endpoint) -> Result<Option<ServiceUrl>> {
        match (self.config.url(endpoint), found) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, Some(found)) => found.url(endpoint),
            (None, None) => Ok(None),
        }
    }

    /// Returns the URL of the endpoint, or an error if the URL is unknown.
    pub(super) fn require(&self, found: Option<&Metadata>, endpoint: Endpoint) -> Result<ServiceUrl> {
        self.find(found, endpoint)?.ok_or_else(|| {
            let (issuer, key) = (&self.info.issuer.endpoint, endpoint.key());
            let flow = self.flow.name();
            Error::new(
                ErrorCode::ConfigMissingKey,
                format!("{issuer} publishes no endpoint for `flow = \"{flow}\"`"),
            )
            .with_hint(format!("set `{key}` of this provider, or use another `flow`"))
        })
    }

    /// Returns how the client authenticates at `endpoint`: as configured, or with a secret as the issuer's metadata
    /// requires.
    pub(super) fn client_auth(&self, found: Option<&Metadata>, endpoint: Endpoint) -> Result<Auth> {
        let is_default = self.config.client_auth.is_none() && self.auth == Auth::Basic;
        let Some(found) = found.filter(|_| is_default) else { return Ok(self.auth) };
        let of_token = found.auth_methods(Endpoint::Token);
        let own = Some(found.auth_methods(endpoint)).filter(|own| !own.is_empty());
        by_secret(own.unwrap_or(of_token))
            .or_else(|| by_secret(of_token))
            .ok_or_else(|| no_secret(&self.info.issuer.endpoint, of_token))
    }

    /// Whether the token endpoint must be discovered before a token request.
    pub(super) fn discovers_first(&self, record: &Record, now: DateTime<Utc>, forced: bool) -> bool {
        let is_known = || self.stored(record).is_some_and(|stored| stored.is_fresh(now, forced));
        self.config.url(Endpoint::Token).is_none() && !is_known()
    }

    /// Returns a record update with the issuer's new metadata. If the request for new metadata fails, the update
    /// prolongs the use of the stored metadata.
    pub(super) async fn discover(&self, operation: &Operation, record: &Record) -> Result<RecordUpdate> {
        let found = match (self.request_metadata(operation, &[Endpoint::Token]).await, self.stored(record)) {
            (Err(error), Some(before)) if may_use_stored(&error) => {
                tracing::warn!(%error, "cannot discover the issuer's endpoints; the broker uses the stored ones");
                before.postponed(operation.now())
            }
            (found, _) => found?,
        };
        Ok(RecordUpdate::default().and_metadata(Metadata::KEY, found.to_value()))
    }

    /// Returns the stored metadata, even if the metadata is old, or `None` if no token endpoint is stored or configured.
    pub(super) fn stored(&self, record: &Record) -> Option<Metadata> {
        let stored = Metadata::stored(record, self.config.issuer.as_ref())?;
        let has_token_url =
            self.config.url(Endpoint::Token).is_some() || matches!(stored.url(Endpoint::Token), Ok(Some(_)));
        has_token_url.then_some(stored)
    }

    /// Discovers the endpoints, unless all of `wanted` are configured. The metadata must contain all of `needed`.
    pub(super) async fn metadata_for(
        &self,
        operation: &Operation,
        wanted: &[Endpoint],
        needed: &[Endpoint],
    ) -> Result<Option<Metadata>> {
        let is_known = wanted.iter().all(|endpoint| self.config.url(*endpoint).is_some());
        if is_known || self.config.issuer.is_none() {
            return Ok(None);
        }
        self.request_metadata(operation, needed).await.map(Some)
    }

    /// Returns the metadata for a logout, after discovery if no revocation endpoint is known.
    pub(super) async fn logout_metadata(
        &self,
        operation: &Operation,
        record: &Record,
    ) -> Result<Option<Metadata>> {
        if self.config.url(Endpoint::Revocation).is_some() || self.config.issuer.is_none() {
            return Ok(self.stored(record));
        }
        let revokes = |stored: &Metadata| matches!(stored.url(Endpoint::Revocation), Ok(Some(_)));
        let stored = self.stored(record).filter(revokes);
        if stored.as_ref().is_some_and(|stored| stored.is_fresh(operation.now(), false)) {
            return Ok(stored);
        }
        match (self.request_metadata(operation, &[Endpoint::Token]).await, stored) {
            (Err(error), Some(before)) if may_use_stored(&error) => Ok(Some(before)),
            (found, _) => found.map(Some),
        }
    }

    async fn request_metadata(&self, operation: &Operation, needed: &[Endpoint]) -> Result<Metadata> {
        let Some(issuer) = &self.config.issuer else {
            let message = "`issuer` is not set, so the endpoints cannot be discovered";
            return Err(Error::new(ErrorCode::ConfigMissingKey, message));
        };
        let urls: Vec<_> = self.flow.endpoints().iter().map(|endpoint| endpoint.key()).collect();
        let found = Metadata::discover(operation, issuer, &urls).await?;
        for endpoint in needed {
            self.require(Some(&found), *endpoint)?;
        }
        Ok(found)
    }
}

/// Returns how a client with a secret authenticates at an endpoint that accepts these methods.
fn by_secret(methods: &[String]) -> Option<Auth> {
    let accepts = |method: &str| methods.iter().any(|name| name == method);
    // RFC 8414 section 2: without a list, the endpoint accepts `client_secret_basic`.
    if methods.is_empty() || accepts("client_secret_basic") {
        return Some(Auth::Basic);
    }
    accepts("client_secret_post").then_some(Auth::Body)
}

/// Returns the error for an issuer that does not accept a client secret in a request.
fn no_secret(issuer: &str, methods: &[String]) -> Error {
    let instead = match () {
        () if methods.iter().any(|method| method == "private_key_jwt") => {
            "set `private_key` instead of `client_secret`"
        }
        () if methods.iter().any(|method| method == "none") => "use a client without a secret",
        () => "use a client with another authentication method",
    };
    let message = format!("{issuer} accepts no `client_secret` in requests, only: {}", methods.join(", "));
    Error::new(ErrorCode::ConfigInvalidValue, message).with_hint(format!(
        "{instead}; if the issuer's metadata is wrong, set `client_auth` to \"basic\" or \"body\""
    ))
}

/// Whether the broker may use stored metadata after `error`: not if the new metadata names another issuer.
fn may_use_stored(error: &Error) -> bool {
    error.code() != OTHER_ISSUER && error.kind() != ErrorKind::Cancelled
}
