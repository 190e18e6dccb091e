//! Tests of the asset cookie, with which GDAL and curl download EarthDaily's assets.

use broker_core::{Clock, Derived, Error, ErrorKind, Result, Token, TokenRequest};
use broker_testkit::conformance::{ClientSubject, Subject};
use broker_testkit::{EarthDailyOptions, Fault, World};
use chrono::TimeDelta;
use serde_json::Value;

use crate::imagery as imagery_with;

fn cookie() -> TokenRequest {
    TokenRequest::new().derived(Derived::cookie())
}

fn imagery() -> ClientSubject {
    imagery_with(EarthDailyOptions::default())
}

/// Returns a provider whose fake server sends the cookie with these attributes.
fn imagery_of_cookie(attributes: &str) -> ClientSubject {
    imagery_with(EarthDailyOptions { cookie: attributes.to_owned(), ..Default::default() })
}

async fn get(subject: &ClientSubject, request: &TokenRequest) -> Result<Token> {
    subject.world.broker(subject.provider()).token(World::NAME, request).await
}

async fn error(subject: &ClientSubject, request: &TokenRequest) -> Error {
    get(subject, request).await.expect_err("no cookie")
}

fn object(token: &Token) -> Value {
    serde_json::from_str(token.secret().expose()).expect("an object")
}

/// Returns the remaining lifetime in seconds.
fn lifetime(subject: &ClientSubject, token: &Token) -> i64 {
    (token.expires_at().expect("an end") - subject.world.clock.now()).num_seconds()
}

#[tokio::test]
async fn record_stores_asset_cookie_next_to_access_token() {
    let subject = imagery();
    let token = get(&subject, &cookie()).await.expect("a cookie");
    let parts = object(&token);
    assert_eq!((token.token_type(), &parts["name"]), ("cookie", &Value::from("PLATFORM_ASSET")));
    assert!(parts["value"].as_str().is_some_and(|value| value.starts_with("asset-")), "{parts}");
    assert_eq!(parts["domain"], "127.0.0.1", "an IP address has no subdomains");
    assert_eq!((&parts["path"], &parts["secure"]), (&"/platform/v1/asset".into(), &true.into()));
    assert_eq!(parts["http_only"], true);
    assert!((3590..=3600).contains(&lifetime(&subject, &token)), "{:?}", token.expires_at());
    let again = get(&subject, &cookie()).await.expect("the stored cookie");
    assert!(token.secret().same_as(again.secret()));
    let usual = get(&subject, &TokenRequest::new()).await.expect("the token");
    assert!(subject.service.access_is_live(usual.secret().expose()));
    assert_eq!((subject.service.exchanges(), subject.service.count("cookie")), (1, 1));
    assert_eq!(subject.service.seen()[1].json()["max_age"], 3600);
}

#[tokio::test]
async fn requested_cookie_lifetime_is_sent_to_the_service() {
    let subject = imagery();
    let request = cookie().expires("10m".parse().expect("a lifetime"));
    let token = get(&subject, &request).await.expect("a cookie");
    assert!((590..=600).contains(&lifetime(&subject, &token)));
    let request = cookie().min_ttl(std::time::Duration::from_hours(2));
    let token = get(&subject, &request).await.expect("a cookie");
    assert!(lifetime(&subject, &token) > 7100);
    for wrong in [
        cookie().expires("0s".parse().expect("a lifetime")),
        cookie().name("x"),
        cookie().expires("2020-01-01".parse().expect("a day")),
    ] {
        assert_eq!(error(&subject, &wrong).await.kind(), ErrorKind::Usage);
    }
    let aws = TokenRequest::new().derived(Derived::aws("role", Vec::new()));
    assert_eq!(error(&subject, &aws).await.kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn asset_cookie_request_replaces_refused_access_token() {
    let subject = imagery();
    get(&subject, &TokenRequest::new()).await.expect("a token");
    subject.service.revoke_access_tokens();
    subject.world.clock.advance(TimeDelta::seconds(1));
    get(&subject, &cookie()).await.expect("a cookie");
    assert_eq!((subject.service.exchanges(), subject.service.count("cookie")), (2, 2));
    // The fake server refuses every access token from now on. The broker must stop after a few attempts.
    subject.service.fault_always("cookie", Fault::Empty(401));
    let refused = error(&subject, &cookie().force()).await;
    assert!(matches!(refused.kind(), ErrorKind::Refused | ErrorKind::Unavailable), "{refused}");
    assert!(subject.service.exchanges() <= 5, "{}", subject.service.exchanges());
}

#[tokio::test]
async fn asset_cookie_403_is_refusal_but_bad_response_is_not() {
    let subject = imagery();
    let refusal = Fault::Answer {
        status: 403,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: r#"{"message":"no subscription"}"#.to_owned(),
    };
    subject.service.fault("cookie", refusal);
    let refused = error(&subject, &cookie()).await;
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.hint().is_some(), "{:?}", refused.hint());
    for fault in [Fault::Empty(204), Fault::Html(200), Fault::Status(404), Fault::Garbage] {
        subject.service.fault_always("cookie", fault.clone());
        assert_eq!(error(&subject, &cookie()).await.kind(), ErrorKind::Unavailable, "{fault:?}");
        subject.service.clear_faults();
    }
    get(&subject, &cookie()).await.expect("a cookie at last");
}

#[tokio::test]
async fn cookie_of_a_foreign_domain_is_refused() {
    let subject = imagery_of_cookie("Domain=evil.example; Path=/");
    assert_eq!(error(&subject, &cookie()).await.kind(), ErrorKind::Refused);
}

#[tokio::test]
async fn cookie_expiry_comes_from_max_age_or_expires() {
    for (attributes, seconds) in [("Max-Age=120", 120), ("max-age=no; Path=/x", 3600), ("", 3600)] {
        let subject = imagery_of_cookie(attributes);
        let token = get(&subject, &cookie()).await.expect("a cookie");
        assert!((seconds - 10..=seconds).contains(&lifetime(&subject, &token)), "{attributes}");
    }
    let mut subject = imagery();
    for form in ["%a, %d %b %Y %H:%M:%S GMT", "%a, %d-%b-%Y %H:%M:%S GMT"] {
        let end = (subject.world.clock.now() + TimeDelta::seconds(900)).format(form);
        subject = imagery_of_cookie(&format!("Expires={end}"));
        let token = get(&subject, &cookie()).await.expect("a cookie");
        assert!((880..=910).contains(&lifetime(&subject, &token)), "{form}");
    }
}
