//! Tests `EarthScope`'s S3 keys as credentials of `object_store` and the AWS SDK.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(dead_code, reason = "the examples and tests share a module")]

#[path = "../examples/fake/mod.rs"]
mod fake;

use std::error::Error as _;
use std::sync::Arc;

use aws_credential_types::provider::ProvideCredentials;
use broker_http::AwsKeys;
use broker_testkit::{EarthScope, EarthScopeOptions, TestClock};
use chrono::{DateTime, TimeDelta, Utc};
use earthbroker::{Clock, Error, ErrorCode, ProviderHandle, Setup};
use object_store::CredentialProvider;
use tempfile::TempDir;

struct Lab {
    service: EarthScope,
    provider: ProviderHandle,
    clock: TestClock,
    _home: TempDir,
}

impl Lab {
    fn new() -> Self {
        let clock = TestClock::default();
        let options = EarthScopeOptions { now: clock.for_service(), ..fake::earthscope_options() };
        let service = EarthScope::start(options);
        let setup = Setup::new().clock(Arc::new(clock.clone()));
        let (broker, home) = fake::open(setup, &fake::earthscope(service.url())).expect("a broker");
        let provider = broker.provider("earthscope").expect("a provider");
        Self { service, provider, clock, _home: home }
    }

    fn keys(&self) -> AwsKeys {
        AwsKeys::new(self.provider.clone(), "s3-miniseed-v2")
    }
}

#[tokio::test]
async fn object_store_gets_cached_keys_until_they_expire() {
    let lab = Lab::new();
    let keys = lab.keys();
    let first = keys.get_credential().await.unwrap();
    assert!(first.key_id.starts_with("ASIA") && first.token.is_some());
    assert!(Arc::ptr_eq(&first, &keys.get_credential().await.unwrap()));
    assert_eq!(lab.service.count("aws"), 1);

    // The keys are valid for an hour, and replaced a minute earlier.
    lab.clock.advance(TimeDelta::minutes(59) + TimeDelta::seconds(1));
    assert_ne!(first, keys.get_credential().await.unwrap());
    assert_eq!(lab.service.count("aws"), 2);
}

#[tokio::test]
async fn aws_sdk_gets_the_expiry_of_keys() {
    let lab = Lab::new();
    let began = lab.clock.now();
    let credentials = lab.keys().provide_credentials().await.unwrap();
    assert!(credentials.access_key_id().starts_with("ASIA") && credentials.session_token().is_some());
    let lifetime = DateTime::<Utc>::from(credentials.expiry().unwrap()) - began;
    assert!((lifetime - TimeDelta::hours(1)).abs() <= TimeDelta::seconds(1), "{lifetime}");
}

#[tokio::test]
async fn both_clients_share_stored_keys() {
    let lab = Lab::new();
    let credentials = lab.keys().provide_credentials().await.unwrap();
    let stored = lab.keys().get_credential().await.unwrap();
    assert_eq!(stored.key_id, credentials.access_key_id());
    assert_eq!(lab.service.count("aws"), 1);
}

#[tokio::test]
async fn params_are_sent_with_the_request() {
    let lab = Lab::new();
    let params = vec![("duration".to_owned(), "900".to_owned())];
    AwsKeys::with_params(lab.provider.clone(), "s3-miniseed", params).get_credential().await.unwrap();
    assert_eq!(lab.service.seen().pop().unwrap().query, "duration=900");
}

#[tokio::test]
async fn error_of_the_broker_is_the_source() {
    let lab = Lab::new();
    let keys = AwsKeys::new(lab.provider.clone(), "no-such-role");
    let code = |source: Option<&(dyn std::error::Error + 'static)>| source?.downcast_ref().map(Error::code);
    let error = keys.get_credential().await.unwrap_err();
    assert_eq!(code(error.source()), Some(ErrorCode::RequestRefused));
    let error = keys.provide_credentials().await.unwrap_err();
    assert_eq!(code(error.source()), Some(ErrorCode::RequestRefused));
}

#[tokio::test]
async fn debug_output_shows_no_keys() {
    let lab = Lab::new();
    let keys = lab.keys();
    let credential = keys.get_credential().await.unwrap();
    let text = format!("{keys:?}");
    assert!(text.contains("earthscope"));
    assert!(!text.contains(&credential.key_id) && !text.contains(&credential.secret_key));
}
