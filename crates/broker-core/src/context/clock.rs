//! Wall-clock time and pauses.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// A source of time, which tests replace with a clock that they control.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Returns the current wall-clock time.
    fn now(&self) -> DateTime<Utc>;
    /// Sleeps for `duration`. A test clock moves forward instead.
    async fn sleep(&self, duration: Duration);
}

/// The machine's clock. [`Clock::sleep`] needs a tokio runtime with a time driver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        // `Utc::now` panics if the clock says a year before 1970.
        SystemTime::now().into()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
