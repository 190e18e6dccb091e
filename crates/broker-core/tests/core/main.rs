//! Tests of the crate `broker-core` through its public interface.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::{
    Broker, BrokerBuilder, Context, Entry, FileStore, HttpResponse, Issuer, LoginMethod, Provider,
    ProviderInfo, Secret, Store,
};
use broker_testkit::World;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::Value;

mod answers;
mod bounds;
mod broker;
mod cut_responses;
mod expiry;
mod header;
mod hosts;
mod last_check;
mod lifetimes;
mod memory;
mod quiet_time;
mod record;
mod redaction;
mod refresh_intent;
mod responses;
mod retry_after;
mod salvage;
mod scenarios;
mod sealed;
mod store;
mod threads;
mod together;
mod windows;

/// The issuer of the test providers.
fn issuer() -> Issuer {
    Issuer::new("test", "none", "https://example.org")
}

/// Describes a test provider with these methods of login.
fn info(logins: &[LoginMethod]) -> ProviderInfo {
    let mut info = ProviderInfo::new(issuer());
    info.logins = logins.to_vec();
    info
}

fn builder<P: Provider + 'static>(
    providers: impl IntoIterator<Item = (&'static str, Arc<P>)>,
    store: Arc<dyn Store>,
    context: Context,
) -> BrokerBuilder {
    let entry = |(name, provider): (&str, Arc<P>)| (name.to_owned(), Entry::new(provider));
    Broker::builder(providers.into_iter().map(entry).collect::<BTreeMap<_, _>>(), store, context)
}

/// Returns the store that the brokers of `world` use.
fn files(world: &World) -> FileStore {
    FileStore::new(world.record_path().parent().expect("a folder"))
}

/// Returns an HTTP response that was sent at `sent_at`.
fn response(status: u16, headers: &[(&str, &str)], body: &str, sent_at: DateTime<Utc>) -> HttpResponse {
    HttpResponse::new(http_response(status, headers, body), sent_at)
}

/// Returns the response of an HTTP client.
fn http_response(status: u16, headers: &[(&str, &str)], body: &str) -> http::Response<Bytes> {
    let response = http::Response::builder().status(status);
    let response = headers.iter().fold(response, |response, (name, value)| response.header(*name, *value));
    response.body(Bytes::copy_from_slice(body.as_bytes())).expect("a response")
}

/// Returns an unsigned JSON Web Token with these claims.
fn jwt(claims: &Value) -> Secret {
    Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string())))
}
