//! A clock that tests move.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::Clock;
use chrono::{DateTime, TimeDelta, Utc};

use crate::Now;

/// A clock that stands still unless it is moved; whoever sleeps on it moves it. Clones are the same clock.
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
    /// A clock that begins with the time that it is.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { now: Utc::now(), slept: Vec::new() })))
    }

    /// Moves it, forward or back.
    pub fn advance(&self, by: TimeDelta) {
        self.0.lock().unwrap().now += by;
    }

    /// The sleeps so far.
    #[must_use]
    pub fn slept(&self) -> Vec<Duration> {
        self.0.lock().unwrap().slept.clone()
    }

    /// The same clock for a fake server.
    #[must_use]
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
            state.now += TimeDelta::from_std(duration).expect("a sleep within the calendar");
            state.slept.push(duration);
        }
        tokio::task::yield_now().await;
    }
}
