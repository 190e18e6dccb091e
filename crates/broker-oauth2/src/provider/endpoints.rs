//! Where a service's endpoints are: configured, or found by its issuer.

use broker_core::{Context, Error, ErrorKind, Record, RecordUpdate, Result, ServiceUrl};
use chrono::{DateTime, Utc};

use super::OAuth2;
use crate::discovery::{Endpoint, Metadata, Undiscovered};

/// What is known of a service's endpoints beside the configuration.
pub(super) struct Endpoints {
    found: Option<Metadata>,
    /// Whether it was found just now.
    is_new: bool,
}

impl Endpoints {
    /// Where an endpoint is: what is configured wins.
    pub(super) fn find(&self, provider: &OAuth2, endpoint: Endpoint) -> Result<Option<ServiceUrl>> {
        match (provider.config.url(endpoint), &self.found) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, Some(found)) => found.url(endpoint),
            (None, None) => Ok(None),
        }
    }

    /// Where an endpoint is that the flow cannot do without.
    pub(super) fn need(&self, provider: &OAuth2, endpoint: Endpoint) -> Result<ServiceUrl> {
        self.find(provider, endpoint)?.ok_or_else(|| {
            let (issuer, key) = (&provider.issuer.endpoint, endpoint.key());
            let flow = provider.flow.name();
            Error::configuration(format!("{issuer} names no endpoint for `flow = \"{flow}\"`"))
                .with_hint(format!("set `{key}` of this provider, or choose another `flow`"))
        })
    }

    pub(super) fn sends_issuer(&self) -> bool {
        self.found.as_ref().is_some_and(|found| found.sends_issuer)
    }

    /// With what was found, if it is new.
    pub(super) fn keep_in(&self, change: RecordUpdate) -> RecordUpdate {
        match &self.found {
            Some(found) if self.is_new => change.and_metadata(Metadata::KEPT, found.keep()),
            _ => change,
        }
    }
}

impl OAuth2 {
    /// Whether the next exchange is to ask where the token endpoint is; `anew`: also if that is known.
    pub(super) fn discovers_first(&self, record: &Record, now: DateTime<Utc>, anew: bool) -> bool {
        let kept = || self.kept(record).is_some_and(|kept| kept.is_fresh(now, anew));
        self.config.url(Endpoint::Token).is_none() && !kept()
    }

    /// An exchange of its own, after which the broker asks again. While the service says nothing of use, what it said
    /// before serves.
    pub(super) async fn discover(&self, context: &Context, record: &Record) -> Result<RecordUpdate> {
        let found = match (self.ask_issuer(context, &[Endpoint::Token]).await, self.kept(record)) {
            (Err(Undiscovered::Other(error)), Some(before)) if error.kind() != ErrorKind::Cancelled => {
                tracing::warn!(%error, "the issuer says nothing of use: its endpoints of before are used");
                before.with_respite(context.now())
            }
            (found, _) => found.map_err(Undiscovered::error)?,
        };
        Ok(RecordUpdate::default().and_metadata(Metadata::KEPT, found.keep()))
    }

    /// What the record keeps, if tokens can be had by it.
    fn kept(&self, record: &Record) -> Option<Metadata> {
        let kept = Metadata::kept(record, self.config.issuer.as_ref())?;
        let token_url =
            self.config.url(Endpoint::Token).is_some() || matches!(kept.url(Endpoint::Token), Ok(Some(_)));
        token_url.then_some(kept)
    }

    /// What the record keeps, whatever its age.
    pub(super) fn kept_endpoints(&self, record: &Record) -> Endpoints {
        Endpoints { found: self.kept(record), is_new: false }
    }

    /// For a login: the issuer is asked if it has to say anything.
    pub(super) async fn all_endpoints(&self, context: &Context) -> Result<Endpoints> {
        let needed: Vec<_> = [Some(Endpoint::Token), self.flow.begins_at()].into_iter().flatten().collect();
        self.endpoints_for(context, &needed, &needed).await
    }

    /// The issuer is asked if one of those that are wanted is not configured; it must name all that are needed.
    pub(super) async fn endpoints_for(
        &self,
        context: &Context,
        wanted: &[Endpoint],
        needed: &[Endpoint],
    ) -> Result<Endpoints> {
        let is_known = wanted.iter().all(|endpoint| self.config.url(*endpoint).is_some());
        if is_known || self.config.issuer.is_none() {
            return Ok(Endpoints { found: None, is_new: false });
        }
        let found = self.ask_issuer(context, needed).await.map_err(Undiscovered::error)?;
        Ok(Endpoints { found: Some(found), is_new: true })
    }

    /// For a logout. Before a login is forgotten that was not revoked, the issuer is asked whether it can be.
    pub(super) async fn endpoints_to_leave(&self, context: &Context, record: &Record) -> Result<Endpoints> {
        if self.config.url(Endpoint::Revocation).is_some() || self.config.issuer.is_none() {
            return Ok(self.kept_endpoints(record));
        }
        let revokes = |kept: &Metadata| matches!(kept.url(Endpoint::Revocation), Ok(Some(_)));
        let kept = self.kept(record).filter(revokes);
        if let Some(kept) = kept.clone().filter(|kept| kept.is_fresh(context.now(), false)) {
            return Ok(Endpoints { found: Some(kept), is_new: false });
        }
        let found = match (self.ask_issuer(context, &[Endpoint::Token]).await, kept) {
            (Err(Undiscovered::Other(error)), Some(before)) if error.kind() != ErrorKind::Cancelled => before,
            (found, _) => found.map_err(Undiscovered::error)?,
        };
        Ok(Endpoints { found: Some(found), is_new: true })
    }

    async fn ask_issuer(&self, context: &Context, needed: &[Endpoint]) -> Result<Metadata, Undiscovered> {
        let nobody = || Error::configuration("there is no `issuer` to ask for endpoints");
        let issuer = self.config.issuer.as_ref().ok_or_else(|| Undiscovered::Other(nobody()))?;
        let found = Metadata::discover(context, issuer).await?;
        let endpoints = Endpoints { found: Some(found.clone()), is_new: true };
        for endpoint in needed {
            endpoints.need(self, *endpoint).map_err(Undiscovered::Other)?;
        }
        Ok(found)
    }
}
