//! Tests of the crate `broker-core` through its public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use broker_core::Issuer;

#[path = "core/bounds.rs"]
mod bounds;
#[path = "core/broker.rs"]
mod broker;
#[path = "core/expiry.rs"]
mod expiry;
#[path = "core/hosts.rs"]
mod hosts;
#[path = "core/lifetimes.rs"]
mod lifetimes;
#[path = "core/record.rs"]
mod record;
#[path = "core/refresh_intent.rs"]
mod refresh_intent;
#[path = "core/responses.rs"]
mod responses;
#[path = "core/scenarios.rs"]
mod scenarios;
#[path = "core/threads.rs"]
mod threads;
#[path = "core/together.rs"]
mod together;
#[path = "core/windows.rs"]
mod windows;

/// The issuer of the test providers.
fn issuer() -> Issuer {
    Issuer {
        kind: "test".to_owned(),
        flow: "none".to_owned(),
        endpoint: "https://example.org".to_owned(),
        client_id: None,
        audience: None,
        secret_fingerprint: None,
    }
}
