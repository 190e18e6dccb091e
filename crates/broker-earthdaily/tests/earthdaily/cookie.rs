//! The asset cookie: a credential that a token gives.

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

async fn get(subject: &ClientSubject, request: &TokenRequest) -> Result<Token> {
    subject.world.broker(subject.provider()).token(World::NAME, request).await
}

async fn error(subject: &ClientSubject, request: &TokenRequest) -> Error {
    get(subject, request).await.expect_err("no cookie")
}

fn object(token: &Token) -> Value {
    serde_json::from_str(token.secret().expose()).expect("an object")
}

/// How long it lives from now, in seconds.
fn life(subject: &ClientSubject, token: &Token) -> i64 {
    (token.expires_at().expect("an end") - subject.world.clock.now()).num_seconds()
}

#[tokio::test]
async fn a_cookie_is_had_with_a_token_and_held_beside_it() {
    let subject = imagery();
    let token = get(&subject, &cookie()).await.expect("a cookie");
    let parts = object(&token);
    assert_eq!((token.token_type(), &parts["name"]), ("cookie", &Value::from("PLATFORM_ASSET")));
    assert!(parts["value"].as_str().is_some_and(|value| value.starts_with("asset-")), "{parts}");
    assert_eq!(parts["domain"], "127.0.0.1", "an address has nothing below it");
    assert_eq!((&parts["path"], &parts["secure"]), (&"/platform/v1/asset".into(), &true.into()));
    assert_eq!(parts["http_only"], true);
    assert!((3590..=3600).contains(&life(&subject, &token)), "{:?}", token.expires_at());
    let again = get(&subject, &cookie()).await.expect("the held one");
    assert!(token.secret().same_as(again.secret()));
    let usual = get(&subject, &TokenRequest::new()).await.expect("the token");
    assert!(subject.service.access_is_live(usual.secret().expose()));
    assert_eq!((subject.service.exchanges(), subject.service.count("cookie")), (1, 1));
    assert_eq!(subject.service.seen()[1].json()["max_age"], 3600);
}

#[tokio::test]
async fn the_life_asked_for_is_what_the_service_is_asked_for() {
    let subject = imagery();
    let request = cookie().expires("10m".parse().expect("a life"));
    let token = get(&subject, &request).await.expect("a cookie");
    assert!((590..=600).contains(&life(&subject, &token)));
    let request = cookie().min_ttl(std::time::Duration::from_hours(2));
    let token = get(&subject, &request).await.expect("a cookie");
    assert!(life(&subject, &token) > 7100);
    for wrong in [
        cookie().expires("0s".parse().expect("a life")),
        cookie().name("x"),
        cookie().expires("2020-01-01".parse().expect("a day")),
    ] {
        assert_eq!(error(&subject, &wrong).await.kind(), ErrorKind::Usage);
    }
    let aws = TokenRequest::new().derived(Derived::aws("role", Vec::new()));
    assert_eq!(error(&subject, &aws).await.kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_made_anew_once() {
    let subject = imagery();
    get(&subject, &TokenRequest::new()).await.expect("a token");
    subject.service.revoke_access_tokens();
    subject.world.clock.advance(TimeDelta::seconds(1));
    get(&subject, &cookie()).await.expect("a cookie");
    assert_eq!((subject.service.exchanges(), subject.service.count("cookie")), (2, 2));
    // Nor is the new one: that is not gone on with for ever.
    subject.service.fault_always("cookie", Fault::Empty(401));
    let refused = error(&subject, &cookie().force()).await;
    assert!(matches!(refused.kind(), ErrorKind::Refused | ErrorKind::Unavailable), "{refused}");
    assert!(subject.service.exchanges() <= 5, "{}", subject.service.exchanges());
}

#[tokio::test]
async fn what_the_service_says_instead_is_told_apart() {
    let subject = imagery();
    let refusal = Fault::Answer {
        status: 403,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: r#"{"message":"no subscription"}"#.to_owned(),
    };
    subject.service.fault("cookie", refusal);
    let refused = error(&subject, &cookie()).await;
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(
        refused.hint().is_some_and(|hint| hint.to_string().contains("subscription")),
        "{:?}",
        refused.hint()
    );
    for fault in [Fault::Empty(204), Fault::Html(200), Fault::Status(404), Fault::Garbage] {
        subject.service.fault_always("cookie", fault.clone());
        assert_eq!(error(&subject, &cookie()).await.kind(), ErrorKind::Unavailable, "{fault:?}");
        subject.service.clear_faults();
    }
    get(&subject, &cookie()).await.expect("a cookie at last");
}

#[tokio::test]
async fn a_cookie_is_for_the_service_s_own_hosts() {
    for (attributes, domain) in [
        ("Path=/; Secure", Some("127.0.0.1")),
        ("Domain=evil.example; Path=/", None),
        ("Domain=1; Path=/", None),
        ("Domain=.0.1; Path=/", None),
    ] {
        let options = EarthDailyOptions { cookie: attributes.to_owned(), ..EarthDailyOptions::default() };
        let subject = imagery_with(options);
        match (get(&subject, &cookie()).await, domain) {
            (Ok(token), Some(domain)) => assert_eq!(object(&token)["domain"], domain, "{attributes}"),
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Refused, "{attributes}"),
            (other, _) => panic!("{attributes}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cookie_ends_when_it_says() {
    for (attributes, seconds) in [("Max-Age=120", 120), ("max-age=no; Path=/x", 3600), ("", 3600)] {
        let options = EarthDailyOptions { cookie: attributes.to_owned(), ..EarthDailyOptions::default() };
        let subject = imagery_with(options);
        let token = get(&subject, &cookie()).await.expect("a cookie");
        assert!((seconds - 10..=seconds).contains(&life(&subject, &token)), "{attributes}");
    }
    let mut subject = imagery();
    for form in ["%a, %d %b %Y %H:%M:%S GMT", "%a, %d-%b-%Y %H:%M:%S GMT"] {
        let end = (subject.world.clock.now() + TimeDelta::seconds(900)).format(form);
        let options = EarthDailyOptions { cookie: format!("Expires={end}"), ..EarthDailyOptions::default() };
        subject = imagery_with(options);
        let token = get(&subject, &cookie()).await.expect("a cookie");
        assert!((880..=910).contains(&life(&subject, &token)), "{form}");
    }
}
