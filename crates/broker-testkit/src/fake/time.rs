//! The clock of a fake server.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// A function that returns the current time.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Returns a function that reads the system clock.
pub(super) fn system_clock() -> Now {
    Arc::new(Utc::now)
}

/// The clock of a fake server, which tests can set ahead or behind.
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

    pub(super) fn after(&self, seconds: u64) -> DateTime<Utc> {
        self.now() + TimeDelta::seconds(i64::try_from(seconds).unwrap())
    }

    /// Returns the value of a `Date` header (RFC 9110 section 5.6.7).
    pub(super) fn http_date(&self) -> String {
        self.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}
