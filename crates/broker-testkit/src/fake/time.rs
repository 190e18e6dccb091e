//! The clock a fake server goes by.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// Where a fake server gets the time from.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The system's time.
#[must_use]
pub fn system_clock() -> Now {
    Arc::new(Utc::now)
}

/// A service's own clock, which can be wrong by a skew.
#[derive(Clone)]
pub(super) struct Clock {
    now: Now,
    skew: Arc<AtomicI64>,
}

impl Clock {
    pub(super) fn new(now: Now) -> Self {
        Self { now, skew: Arc::default() }
    }

    pub(super) fn set_skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        (self.now)() + TimeDelta::seconds(self.skew.load(Ordering::SeqCst))
    }

    /// The time `seconds` from now.
    pub(super) fn after(&self, seconds: u64) -> DateTime<Utc> {
        self.now() + TimeDelta::seconds(i64::try_from(seconds).unwrap())
    }

    /// The value of a `Date` header (RFC 9110 section 5.6.7).
    pub(super) fn http_date(&self) -> String {
        self.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}
