//! Tests of `kind = "oauth2"` with fake servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "oauth2/clients.rs"]
mod clients;
#[path = "oauth2/conformance.rs"]
mod conformance;
#[path = "oauth2/cut.rs"]
mod cut;
#[path = "oauth2/discovery.rs"]
mod discovery;
#[path = "oauth2/expiry.rs"]
mod expiry;
#[path = "oauth2/flows.rs"]
mod flows;
#[path = "oauth2/keys.rs"]
mod keys;
#[path = "oauth2/lab.rs"]
mod lab;
#[path = "oauth2/logout.rs"]
mod logout;
#[path = "oauth2/settings.rs"]
mod settings;
