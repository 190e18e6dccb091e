//! The options of minted tokens: scopes, lifetime and name. To mint a token is to create it with the login's token.

use std::time::Duration;

use broker_core::{Choice, Error, Lifetime, Pattern, Requests, Result, Scopes, TokenRequest};
use chrono::{DateTime, TimeDelta, Utc};

use crate::request::Request;
use crate::template::Placeholder;

/// The lifetime of a minted token if neither the caller nor the configuration sets one.
const DEFAULT_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// The mint request, and the options that a caller can set for a minted token.
pub(crate) struct Mint {
    pub(crate) request: Request,
    /// The date format of the expiry that the mint request contains, if any.
    expires: Option<Pattern>,
    pub(crate) has_name: bool,
}

impl Mint {
    pub(crate) fn new(request: Request) -> Self {
        let pattern = |(_, placeholder): (String, &Placeholder)| match placeholder {
            Placeholder::Expires(pattern) => Some(pattern.clone()),
            _ => None,
        };
        let expires = request.placeholders().into_iter().find_map(pattern);
        Self { has_name: request.uses(&Placeholder::Name), expires, request }
    }

    /// Whether the requested token must be minted. Otherwise the caller gets the login's token.
    pub(crate) fn covers(&self, request: &TokenRequest) -> bool {
        self.request.scopes.is_empty() || !request.scopes().is_empty()
    }

    /// Describes what callers may request.
    pub(crate) fn requests(&self) -> Requests {
        let mut requests = Requests::default();
        let mut choice = Choice::Always;
        if !self.request.scopes.is_empty() {
            requests.scopes = Scopes::Of(self.request.scopes.clone());
            choice = Choice::WithScopes;
        }
        requests.lifetime = if self.expires.is_some() { choice } else { Choice::Never };
        requests.name = if self.has_name { choice } else { Choice::Never };
        requests
    }

    /// Whether the mint request contains the expiry as a date without a time.
    pub(crate) fn in_days(&self) -> bool {
        let (midnight, later) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::seconds(45_296));
        self.expires.as_ref().is_some_and(|pattern| pattern.write(midnight) == pattern.write(later))
    }

    /// Returns the expiry to request for a token minted at `now`, or `None` if the service decides.
    pub(crate) fn expiry(&self, request: &TokenRequest, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let too_late = || Error::usage("the requested lifetime is too long: its end is not a valid date");
        if self.expires.is_none() {
            return Ok(None);
        }
        let default = self.request.lifetime().and_then(|lifetime| lifetime.to_std().ok());
        let lifetime = request.expires.unwrap_or(Lifetime::For(default.unwrap_or(DEFAULT_LIFETIME)));
        let end = lifetime.end(now).ok_or_else(too_late)?;
        let min_end = Lifetime::For(request.min_ttl.unwrap_or_default()).end(now).ok_or_else(too_late)?;
        if end <= now {
            let now = now.format("%F %H:%M UTC");
            return Err(Error::usage(format!("the requested expiry is in the past: the time is now {now}")));
        }
        if !self.in_days() {
            return Ok(Some(end.max(min_end)));
        }
        // Today may already be over in the service's time zone, so the earliest date to request is tomorrow.
        lifetime.end_day(now, request.min_ttl).map(Some).ok_or_else(too_late)
    }
}
