//! The world outside the broker: HTTP client, clock, environment and user.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::context::{Env, Http, Prompt};
use crate::token::bounds;

/// The HTTP client, clock, environment and user prompt of the process. Clones are cheap.
#[derive(Clone)]
pub struct Context {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    env: Arc<dyn Env>,
    prompt: Arc<dyn Prompt>,
}

impl Context {
    /// Creates a context from its parts.
    pub fn new(
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        env: Arc<dyn Env>,
        prompt: Arc<dyn Prompt>,
    ) -> Self {
        Self { http, clock, env, prompt }
    }

    /// Replaces the user prompt.
    #[must_use]
    pub fn with_prompt(self, prompt: Arc<dyn Prompt>) -> Self {
        Self { prompt, ..self }
    }

    /// Returns the current wall-clock time.
    pub fn now(&self) -> DateTime<Utc> {
        bounds::limit(self.clock.now())
    }

    /// Returns the clock.
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Returns the HTTP client.
    pub fn http(&self) -> &dyn Http {
        self.http.as_ref()
    }

    /// Returns the environment variables and files.
    pub fn env(&self) -> &dyn Env {
        self.env.as_ref()
    }

    /// Returns the user prompt.
    pub fn prompt(&self) -> &dyn Prompt {
        self.prompt.as_ref()
    }
}

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
