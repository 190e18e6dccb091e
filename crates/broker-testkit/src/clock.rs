//! A clock that tests advance.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{Clock, later};
use chrono::{DateTime, TimeDelta, Utc};

use crate::Now;

/// A clock that tests advance. A sleep returns at once and advances the clock. Clones share their time.
#[derive(Debug, Clone)]
pub struct TestClock {
    now: Arc<Mutex<DateTime<Utc>>>,
    slept: Arc<Mutex<Vec<Duration>>>,
}

impl Default for TestClock {
    /// Creates a clock at the current time.
    fn default() -> Self {
        Self { now: Arc::new(Mutex::new(Utc::now())), slept: Arc::default() }
    }
}

impl TestClock {
    /// Moves the clock forward or back.
    pub fn advance(&self, by: TimeDelta) {
        let mut now = self.now.lock().unwrap();
        *now = later(*now, by);
    }

    /// Returns the durations of all sleeps so far.
    pub fn slept(&self) -> Vec<Duration> {
        self.slept.lock().unwrap().clone()
    }

    /// Returns a function that reads this clock, for the options of a fake server.
    pub fn for_service(&self) -> Now {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        self.slept.lock().unwrap().push(duration);
        self.advance(TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX));
        tokio::task::yield_now().await;
    }
}
