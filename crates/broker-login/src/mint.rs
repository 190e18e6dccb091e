//! The options of minted tokens: scopes, lifetime and name. To mint a token is to create it with the login's token.

use std::time::Duration;

use broker_core::{Choice, Error, Lifetime, Pattern, Requests, Result, Scopes, TokenRequest};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};

use crate::request::Request;
use crate::template::Placeholder;

const DAY: Duration = Duration::from_hours(24);

/// The lifetime of a minted token if neither the caller nor the configuration sets one.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::days(7);

/// The options that a caller can set for a minted token.
pub(crate) struct MintOptions {
    /// The key `scopes` of the table `[mint]`: the scopes that callers can request. If empty, every token is minted.
    pub(crate) scopes: Vec<String>,
    /// The date format of the expiry that the mint request contains, if any.
    expires: Option<Pattern>,
    pub(crate) has_name: bool,
    lifetime: TimeDelta,
}

impl MintOptions {
    pub(crate) fn of(mint: &Request, lifetime: Option<TimeDelta>) -> Self {
        let pattern = |(_, placeholder): (String, &Placeholder)| match placeholder {
            Placeholder::Expires(pattern) => Some(pattern.clone()),
            _ => None,
        };
        let placeholders = mint.placeholders();
        let has_name = placeholders.iter().any(|(_, placeholder)| **placeholder == Placeholder::Name);
        Self {
            scopes: mint.scopes.clone(),
            expires: placeholders.into_iter().find_map(pattern),
            has_name,
            lifetime: mint.format.lifetime.or(lifetime).unwrap_or(DEFAULT_LIFETIME),
        }
    }

    /// Whether the requested token must be minted. Otherwise the caller gets the login's token.
    pub(crate) fn covers(&self, request: &TokenRequest) -> bool {
        self.scopes.is_empty() || !request.scopes().is_empty()
    }

    /// Describes what callers may request.
    pub(crate) fn requests(&self) -> Requests {
        let (can_name, can_expire) = (self.has_name, self.expires.is_some());
        let mut requests = Requests::default();
        let mut choice = Choice::Always;
        if !self.scopes.is_empty() {
            requests.scopes = Scopes::Of(self.scopes.clone());
            choice = Choice::WithScopes;
        }
        requests.lifetime = if can_expire { choice } else { Choice::Never };
        requests.name = if can_name { choice } else { Choice::Never };
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
        let default = Lifetime::For(self.lifetime.to_std().unwrap_or(DAY));
        let lifetime = request.asked_lifetime().unwrap_or(default);
        let end = lifetime.end(now).ok_or_else(too_late)?;
        let min_end = Lifetime::For(request.asked_ttl().unwrap_or_default()).end(now).ok_or_else(too_late)?;
        if end <= now {
            let now = now.format("%F %H:%M UTC");
            return Err(Error::usage(format!("the requested expiry is in the past: the time is now {now}")));
        }
        if !self.in_days() {
            return Ok(Some(end.max(min_end)));
        }
        let today = now.date_naive();
        let day = match lifetime {
            Lifetime::Until(day) => Some(day),
            Lifetime::For(lifetime) => {
                today.checked_add_days(Days::new(lifetime.as_secs().div_ceil(DAY.as_secs())))
            }
        };
        // Today may already be over in the service's time zone, so the earliest date to request is tomorrow.
        let after = if request.asked_ttl().is_some() { min_end.date_naive() } else { today };
        let day = day.ok_or_else(too_late)?.max(after.succ_opt().ok_or_else(too_late)?);
        Ok(Some(day.and_time(NaiveTime::MIN).and_utc()))
    }
}
