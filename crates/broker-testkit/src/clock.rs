//! A clock that tests advance.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{Clock, later};
use chrono::{DateTime, TimeDelta, Utc};

use crate::Now;

/// A clock that tests advance. A sleep returns at once and advances the clock. Clones share their time.
#[derive(Debug, Clone)]
pub struct TestClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: DateTime<Utc>,
    slept: Vec<Duration>,
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl TestClock {
    /// Creates a clock at the current time.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { now: Utc::now(), slept: Vec::new() })))
    }

    /// Moves the clock forward or back.
    pub fn advance(&self, by: TimeDelta) {
        let mut state = self.0.lock().unwrap();
        state.now = later(state.now, by);
    }

    /// Returns the durations of all sleeps so far.
    pub fn slept(&self) -> Vec<Duration> {
        self.0.lock().unwrap().slept.clone()
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
        self.0.lock().unwrap().now
    }

    async fn sleep(&self, duration: Duration) {
        {
            let mut state = self.0.lock().unwrap();
            state.now = later(state.now, TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX));
            state.slept.push(duration);
        }
        tokio::task::yield_now().await;
    }
}
