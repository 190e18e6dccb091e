//! Decides when a token is renewed: before expiry, while callers can still use the token.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::token::bounds;

/// The lifetime of a token, and when to renew it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When the request for the token was sent.
    pub issued_at: DateTime<Utc>,
    /// When the token expires; `None` if it does not expire.
    pub expires_at: Option<DateTime<Utc>>,
    /// How long before expiry other programs, which take no lock, renew the token. If possible, the broker renews
    /// earlier.
    pub ahead_of: Option<TimeDelta>,
    /// If set, the token is renewed when less than this time is left, and not before.
    pub margin: Option<TimeDelta>,
}

/// The phases of a token's lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// The token is used without renewal.
    Fresh,
    /// One caller renews the token while other callers use it.
    Advisory,
    /// All callers wait for one renewal. If the renewal fails, callers use the old token.
    Blocking,
    /// The token is no longer valid.
    Expired,
}

impl Window {
    /// Returns the phase at `now`. Of a lifetime L, the last min(L/20, 60 s) are [`Phase::Blocking`]. The rest of
    /// the last min(L/4, 60 min) is [`Phase::Advisory`], which begins earlier with [`Window::ahead_of`]. A token
    /// issued after `now` counts as expired: the clock was set back.
    pub fn phase(&self, now: DateTime<Utc>) -> Phase {
        let Some(expires_at) = self.expires_at else { return Phase::Fresh };
        let left = expires_at - now;
        if left <= TimeDelta::zero() || self.issued_at - now > self.blocking() {
            Phase::Expired
        } else if left <= self.blocking() {
            Phase::Blocking
        } else if left <= self.advisory() {
            Phase::Advisory
        } else {
            Phase::Fresh
        }
    }

    /// Returns when [`Phase::Advisory`] begins, in which one caller renews the token while others use it.
    pub fn renews_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at.map(|at| at.checked_sub_signed(self.advisory()).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// Returns how long the token is valid after `now`; `None` if it does not expire.
    pub fn left(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.expires_at.map(|expires_at| (expires_at - now).to_std().unwrap_or_default())
    }

    /// Returns the pause after a failed renewal in [`Phase::Advisory`]: 1/20 of the lifetime, at most 5 minutes plus
    /// `jitter` (0 to 1) times 5 minutes. The jitter keeps a cluster's processes from retrying together.
    pub fn retry_pause(&self, jitter: f64) -> TimeDelta {
        #[expect(clippy::cast_possible_truncation, reason = "300 to 600")]
        let longest = TimeDelta::seconds((300.0 + 300.0 * jitter.clamp(0.0, 1.0)) as i64);
        (self.lifetime() / 20).min(longest)
    }

    fn lifetime(&self) -> TimeDelta {
        self.expires_at.map_or(TimeDelta::MAX, |at| (at - self.issued_at).max(TimeDelta::zero()))
    }

    fn blocking(&self) -> TimeDelta {
        self.margin.map_or_else(|| (self.lifetime() / 20).min(TimeDelta::seconds(60)), positive)
    }

    fn advisory(&self) -> TimeDelta {
        if let Some(margin) = self.margin {
            return positive(margin);
        }
        let lifetime = self.lifetime();
        let usual = (lifetime / 4).min(TimeDelta::minutes(60));
        match self.ahead_of.map(positive) {
            Some(others) if others < lifetime => {
                usual.max(others + (others / 2).min((lifetime - others) / 2))
            }
            _ => usual,
        }
    }
}

/// Limits a duration to between 0 and 100 years.
fn positive(duration: TimeDelta) -> TimeDelta {
    duration.clamp(TimeDelta::zero(), bounds::LONGEST)
}
