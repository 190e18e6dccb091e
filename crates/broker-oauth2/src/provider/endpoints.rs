//! Where a service's endpoints are: configured, or found by its issuer.

use broker_core::{Change, Context, Error, Record, Result, ServiceUrl};
use chrono::{DateTime, Utc};

use super::OAuth2;
use crate::discovery::{Endpoint, Metadata};

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
    pub(super) fn keep_in(&self, change: Change) -> Change {
        match &self.found {
            Some(found) if self.is_new => change.and_kept(Metadata::KEPT, found.keep()),
            _ => change,
        }
    }
}

impl OAuth2 {
    /// Whether the next exchange is to ask where the token endpoint is.
    pub(super) fn discovers_first(&self, record: &Record, now: DateTime<Utc>) -> bool {
        let kept = || self.kept(record).is_some_and(|kept| kept.is_fresh(now));
        self.config.url(Endpoint::Token).is_none() && !kept()
    }

    /// An exchange of its own, after which the broker asks again. While the service cannot be had, what it said before
    /// serves.
    pub(super) async fn discover(&self, context: &Context, record: &Record) -> Result<Change> {
        let found = match (self.ask_issuer(context).await, self.kept(record)) {
            (Err(error), Some(stale)) if error.is_transient() => {
                tracing::warn!(%error, "the issuer could not be asked: its endpoints of before are used");
                stale.with_respite(context.now())
            }
            (found, _) => found?,
        };
        Ok(Change::default().and_kept(Metadata::KEPT, found.keep()))
    }

    fn kept(&self, record: &Record) -> Option<Metadata> {
        Metadata::kept(record, self.config.issuer.as_ref())
    }

    /// What the record keeps, whatever its age.
    pub(super) fn kept_endpoints(&self, record: &Record) -> Endpoints {
        Endpoints { found: self.kept(record), is_new: false }
    }

    /// For a login: the issuer is asked if it has to say anything.
    pub(super) async fn all_endpoints(&self, context: &Context) -> Result<Endpoints> {
        let needed: Vec<_> = [Some(Endpoint::Token), self.flow.begins_at()].into_iter().flatten().collect();
        self.endpoints_for(context, &needed).await
    }

    /// The issuer is asked if one of these is not configured.
    pub(super) async fn endpoints_for(&self, context: &Context, needed: &[Endpoint]) -> Result<Endpoints> {
        let is_known = needed.iter().all(|endpoint| self.config.url(*endpoint).is_some());
        if is_known || self.config.issuer.is_none() {
            return Ok(Endpoints { found: None, is_new: false });
        }
        Ok(Endpoints { found: Some(self.ask_issuer(context).await?), is_new: true })
    }

    /// For a logout: what is kept will do.
    pub(super) async fn endpoints_to_leave(&self, context: &Context, record: &Record) -> Result<Endpoints> {
        let kept = self.kept_endpoints(record);
        if kept.found.is_some() {
            return Ok(kept);
        }
        self.endpoints_for(context, &[Endpoint::Revocation]).await
    }

    async fn ask_issuer(&self, context: &Context) -> Result<Metadata> {
        match &self.config.issuer {
            Some(issuer) => Metadata::discover(context, issuer).await,
            None => Err(Error::configuration("there is no `issuer` to ask for endpoints")),
        }
    }
}
