//! Wall-clock time and pauses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::token::bounds::later;

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
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.map(TimeDelta::from_std).map_err(|before| TimeDelta::from_std(before.duration()));
        later(
            DateTime::UNIX_EPOCH,
            match since {
                Ok(after) => after.unwrap_or(TimeDelta::MAX),
                Err(before) => -before.unwrap_or(TimeDelta::MAX),
            },
        )
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
