//! When a token is renewed: early, while it still serves (rule 3 of the design).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::Failure;

/// The life of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// When the request that gave it was sent.
    pub issued_at: DateTime<Utc>,
    /// When it expires; `None` if it does not.
    pub expires_at: Option<DateTime<Utc>>,
    /// How long before its end others renew it, who take no lock: the broker is earlier, if it lives longer than that.
    pub ahead_of: Option<TimeDelta>,
    /// If set, it is renewed when less than this is left, and not before.
    pub margin: Option<TimeDelta>,
}

/// Where in its life a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is used as it is.
    Fresh,
    /// One caller renews it, the others use it meanwhile.
    Advisory,
    /// Everyone waits for the one who renews it; if that fails, it still serves.
    Blocking,
    /// It serves no longer.
    Expired,
}

/// What a caller does about a token that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It is used as it is.
    Use,
    /// Whoever gets the lock renews it; it serves everyone else meanwhile.
    RenewOne,
    /// Everyone waits for the one who renews it.
    Renew,
}

impl Window {
    /// What to do at `now`, after the last try to renew failed so, if it did: the one place that decides it. In
    /// the advisory window nobody tries again before [`Failure::retry_at`].
    #[must_use]
    pub fn advice(&self, now: DateTime<Utc>, last_failure: Option<&Failure>) -> Advice {
        match self.phase(now) {
            Phase::Fresh => Advice::Use,
            Phase::Advisory if last_failure.is_some_and(|failure| failure.rests(now)) => Advice::Use,
            Phase::Advisory => Advice::RenewOne,
            Phase::Blocking | Phase::Expired => Advice::Renew,
        }
    }

    /// Where in its life the token is at `now`. Of a life L, the last min(L/4, 60 min) are advisory, more where it has to be
    /// ahead of others, and of these the last min(L/20, 60 s) are blocking. A token from the future (the clock was set back since) counts
    /// as expired: how old it is cannot be told.
    #[must_use]
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

    /// When the advisory window begins.
    #[must_use]
    pub fn renews_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at.map(|expires_at| expires_at - self.advisory())
    }

    /// How much life is left at `now`; `None` for a token that does not expire.
    #[must_use]
    pub fn left(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.expires_at.map(|expires_at| (expires_at - now).to_std().unwrap_or_default())
    }

    /// How long to leave the service alone after a renewal failed in the advisory window: L/20, but at most
    /// 5 to 10 minutes by `jitter` in 0..1, so that the processes of a cluster do not come back together.
    #[must_use]
    pub fn retry_pause(&self, jitter: f64) -> TimeDelta {
        #[expect(clippy::cast_possible_truncation, reason = "300 to 600")]
        let longest = TimeDelta::seconds((300.0 + 300.0 * jitter.clamp(0.0, 1.0)) as i64);
        (self.life() / 20).min(longest)
    }

    fn life(&self) -> TimeDelta {
        self.expires_at
            .map_or(TimeDelta::MAX, |expires_at| (expires_at - self.issued_at).max(TimeDelta::zero()))
    }

    fn blocking(&self) -> TimeDelta {
        self.margin.unwrap_or_else(|| (self.life() / 20).min(TimeDelta::seconds(60)))
    }

    fn advisory(&self) -> TimeDelta {
        if let Some(margin) = self.margin {
            return margin;
        }
        let usual = (self.life() / 4).min(TimeDelta::minutes(60));
        match self.ahead_of {
            Some(others) if others < self.life() => {
                usual.max(others + (others / 2).min((self.life() - others) / 2))
            }
            _ => usual,
        }
    }
}
