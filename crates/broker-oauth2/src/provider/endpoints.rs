//! The service's endpoints: configured, or discovered from the issuer's metadata.

use broker_core::{Error, ErrorCode, ErrorKind, Operation, Record, RecordUpdate, Result, ServiceUrl};
use chrono::{DateTime, Utc};

use super::OAuth2;
use super::config::Auth;
use crate::discovery::{Endpoint, Metadata, OTHER_ISSUER};

/// The issuer's metadata, if known. Configured URLs replace the discovered ones.
pub(super) struct Endpoints(Option<Metadata>);

impl Endpoints {
    /// Returns the configured URL of the endpoint, or the discovered one.
    pub(super) fn find(&self, provider: &OAuth2, endpoint: Endpoint) -> Result<Option<ServiceUrl>> {
        match (provider.config.url(endpoint), &self.0) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, Some(found)) => found.url(endpoint),
            (None, None) => Ok(None),
        }
    }

    /// Returns the URL of the endpoint, or an error if the URL is unknown.
    pub(super) fn require(&self, provider: &OAuth2, endpoint: Endpoint) -> Result<ServiceUrl> {
        self.find(provider, endpoint)?.ok_or_else(|| {
            let (issuer, key) = (&provider.info.issuer.endpoint, endpoint.key());
            let flow = provider.flow.name();
            Error::new(
                ErrorCode::ConfigMissingKey,
                format!("{issuer} publishes no endpoint for `flow = \"{flow}\"`"),
            )
            .with_hint(format!("set `{key}` of this provider, or use another `flow`"))
        })
    }

    /// Returns how the client authenticates at `endpoint`: as configured, or with a secret as the issuer's metadata
    /// requires.
    pub(super) fn client_auth(&self, provider: &OAuth2, endpoint: Endpoint) -> Result<Auth> {
        let is_default = provider.config.client_auth.is_none() && provider.auth == Auth::Basic;
        let Some(found) = self.0.as_ref().filter(|_| is_default) else { return Ok(provider.auth) };
        let of_token = found.auth_methods(Endpoint::Token);
        let own = Some(found.auth_methods(endpoint)).filter(|own| !own.is_empty());
        by_secret(own.unwrap_or(of_token))
            .or_else(|| by_secret(of_token))
            .ok_or_else(|| no_secret(&provider.info.issuer.endpoint, of_token))
    }

    pub(super) fn sends_issuer(&self) -> bool {
        self.0.as_ref().is_some_and(|found| found.sends_issuer)
    }

    /// Adds the issuer's metadata to the record update.
    pub(super) fn add_to(&self, update: RecordUpdate) -> RecordUpdate {
        match &self.0 {
            Some(found) => update.and_metadata(Metadata::KEY, found.to_value()),
            None => update,
        }
    }
}

impl OAuth2 {
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

    /// Returns the stored metadata, or `None` if no token endpoint is stored or configured.
    fn stored(&self, record: &Record) -> Option<Metadata> {
        let stored = Metadata::stored(record, self.config.issuer.as_ref())?;
        let has_token_url =
            self.config.url(Endpoint::Token).is_some() || matches!(stored.url(Endpoint::Token), Ok(Some(_)));
        has_token_url.then_some(stored)
    }

    /// Returns the endpoints in the stored metadata, even if the metadata is old.
    pub(super) fn stored_endpoints(&self, record: &Record) -> Endpoints {
        Endpoints(self.stored(record))
    }

    /// Discovers the endpoints, unless all of `wanted` are configured. The metadata must contain all of `needed`.
    pub(super) async fn endpoints_for(
        &self,
        operation: &Operation,
        wanted: &[Endpoint],
        needed: &[Endpoint],
    ) -> Result<Endpoints> {
        let is_known = wanted.iter().all(|endpoint| self.config.url(*endpoint).is_some());
        if is_known || self.config.issuer.is_none() {
            return Ok(Endpoints(None));
        }
        Ok(Endpoints(Some(self.request_metadata(operation, needed).await?)))
    }

    /// Returns the endpoints for a logout, after discovery if no revocation endpoint is known.
    pub(super) async fn logout_endpoints(&self, operation: &Operation, record: &Record) -> Result<Endpoints> {
        if self.config.url(Endpoint::Revocation).is_some() || self.config.issuer.is_none() {
            return Ok(self.stored_endpoints(record));
        }
        let revokes = |stored: &Metadata| matches!(stored.url(Endpoint::Revocation), Ok(Some(_)));
        let stored = self.stored(record).filter(revokes);
        if stored.as_ref().is_some_and(|stored| stored.is_fresh(operation.now(), false)) {
            return Ok(Endpoints(stored));
        }
        let found = match (self.request_metadata(operation, &[Endpoint::Token]).await, stored) {
            (Err(error), Some(before)) if may_use_stored(&error) => before,
            (found, _) => found?,
        };
        Ok(Endpoints(Some(found)))
    }

    async fn request_metadata(&self, operation: &Operation, needed: &[Endpoint]) -> Result<Metadata> {
        let Some(issuer) = &self.config.issuer else {
            let message = "`issuer` is not set, so the endpoints cannot be discovered";
            return Err(Error::new(ErrorCode::ConfigMissingKey, message));
        };
        let urls: Vec<_> = self.flow.endpoints().iter().map(|endpoint| endpoint.key()).collect();
        let found = Metadata::discover(operation, issuer, &urls).await?;
        let endpoints = Endpoints(Some(found.clone()));
        for endpoint in needed {
            endpoints.require(self, *endpoint)?;
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
