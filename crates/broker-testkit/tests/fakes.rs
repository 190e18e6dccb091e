//! Tests that the fake servers behave like the real services and inject faults.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "fakes/carbonmapper.rs"]
mod carbonmapper;
#[path = "fakes/client.rs"]
mod client;
#[path = "fakes/earthdaily.rs"]
mod earthdaily;
#[path = "fakes/earthscope.rs"]
mod earthscope;
#[path = "fakes/faults.rs"]
mod faults;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_testkit::Now;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// A clock that only the test advances.
#[derive(Clone, Default)]
struct Moved(Arc<AtomicI64>);

impl Moved {
    fn start() -> DateTime<Utc> {
        "2030-01-01T12:00:00Z".parse().unwrap()
    }

    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn now(&self) -> Now {
        let moved = self.0.clone();
        Arc::new(move || Self::start() + TimeDelta::seconds(moved.load(Ordering::SeqCst)))
    }
}

fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
