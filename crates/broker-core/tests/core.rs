//! The core by itself: windows, answers, requests, secrets, records.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use broker_core::Issuer;

#[path = "core/answers.rs"]
mod answers;
#[path = "core/broker.rs"]
mod broker;
#[path = "core/expiry.rs"]
mod expiry;
#[path = "core/hosts.rs"]
mod hosts;
#[path = "core/record.rs"]
mod record;
#[path = "core/journal.rs"]
mod refresh_intent;
#[path = "core/scenarios.rs"]
mod scenarios;
#[path = "core/threads.rs"]
mod threads;
#[path = "core/together.rs"]
mod together;
#[path = "core/windows.rs"]
mod windows;

/// Of providers that only tests have.
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
