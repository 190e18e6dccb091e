//! Time, injected.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Where time comes from. Tests bring their own and move it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The wall clock.
    fn now(&self) -> DateTime<Utc>;
    /// Waits. On a clock that tests move, this moves it.
    async fn sleep(&self, duration: Duration);
}

/// The machine's clock. [`Clock::sleep`] needs a tokio runtime with time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
