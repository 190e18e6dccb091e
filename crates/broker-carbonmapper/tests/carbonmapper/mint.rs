//! Tests of scoped tokens.

use broker_core::{Clock, ErrorCode, ErrorKind, Lifetime, Login, Token, TokenRequest};
use broker_testkit::conformance::Subject;
use broker_testkit::{CarbonMapperOptions, Fault, World};
use chrono::{TimeDelta, Utc};
use serde_json::json;

use crate::{EMAIL, Methane, PASSWORD};

fn stac() -> TokenRequest {
    TokenRequest::new().scope("stac")
}

fn methane() -> Methane {
    Methane::new(CarbonMapperOptions::default())
}

async fn logged_in(subject: &Methane) -> Token {
    let broker = subject.world.broker(subject.provider());
    broker.login(World::NAME, Login::Usual).await.expect("a login").token.expect("a token")
}

/// Returns the expiration date of the last minted token, in days from today (UTC).
fn days(subject: &Methane) -> i64 {
    let (_, date) = subject.service.minted().pop().expect("a mint");
    (date.parse::<chrono::NaiveDate>().expect("a date") - subject.world.clock.now().date_naive()).num_days()
}

#[tokio::test]
async fn scoped_token_is_minted_once_and_stored() {
    let subject = methane();
    logged_in(&subject).await;
    let request = stac().expires("7d".parse().expect("a lifetime"));
    let token = subject.world.broker(subject.provider()).token(World::NAME, &request).await.expect("a token");
    let again = subject.world.broker(subject.provider()).token(World::NAME, &request).await.expect("a token");
    assert!(token.secret().same_as(again.secret()));
    assert_eq!(subject.service.mints(), 1);
    assert_eq!(days(&subject), 7);
    let (name, _) = subject.service.minted().pop().expect("a mint");
    let parts: Vec<_> = name.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[1], parts[2].len()), (4, "broker", "testhost", 8), "{name}");
    let record = subject.world.record().expect("a record");
    assert_eq!(record["tokens"]["stac"]["details"]["name"], json!(name), "the metadata is stored");
    assert!(
        subject.world.person.told().iter().any(|notice| notice.contains(&name)),
        "the user learns the name"
    );
}

#[tokio::test]
async fn scoped_token_lifetime_is_rounded_up_to_a_utc_date() {
    for (asked, expected) in [("7d", 7), ("2w", 14), ("1h", 1), ("24h", 1), ("25h", 2), ("36h", 2)] {
        let subject = methane();
        logged_in(&subject).await;
        let request = stac().expires(asked.parse().expect("a lifetime"));
        subject.world.broker(subject.provider()).token(World::NAME, &request).await.expect("a token");
        assert_eq!(days(&subject), expected, "{asked}");
    }
    let subject = methane();
    logged_in(&subject).await;
    let expired = stac().expires(Lifetime::Until(subject.world.clock.now().date_naive()));
    let error =
        subject.world.broker(subject.provider()).token(World::NAME, &expired).await.expect_err("expired");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(subject.service.mints(), 0);
}

#[tokio::test]
async fn minted_token_expires_by_jwt_or_requested_date() {
    for scoped_is_jwt in [false, true] {
        let subject = Methane::new(CarbonMapperOptions { scoped_is_jwt, ..Default::default() });
        logged_in(&subject).await;
        let token =
            subject.world.broker(subject.provider()).token(World::NAME, &stac()).await.expect("a token");
        let expires_at = token.expires_at().expect("an expiry");
        let claimed = broker_core::Claims::read(token.secret()).and_then(|claims| claims.expires_at());
        assert_eq!(claimed.is_some(), scoped_is_jwt);
        let (_, date) = subject.service.minted().pop().expect("a mint");
        let start = format!("{date}T00:00:00Z").parse::<chrono::DateTime<Utc>>().expect("a time");
        assert_eq!(expires_at, claimed.unwrap_or(start));
    }
}

#[tokio::test]
async fn expired_access_token_is_refreshed_before_minting() {
    let subject = methane();
    logged_in(&subject).await;
    subject.world.clock.advance(TimeDelta::minutes(10));
    subject.world.broker(subject.provider()).token(World::NAME, &stac()).await.expect("a token");
    assert_eq!((subject.service.pairs(), subject.service.refreshes(), subject.service.mints()), (1, 1, 1));
}

#[tokio::test]
async fn access_token_refused_by_the_mint_request_is_replaced() {
    let subject = methane();
    logged_in(&subject).await;
    subject.service.revoke_access_tokens();
    subject.world.broker(subject.provider()).token(World::NAME, &stac()).await.expect("a token");
    assert_eq!((subject.service.refreshes(), subject.service.mints()), (1, 1));
}

#[tokio::test]
async fn configured_password_logs_in_after_a_refused_refresh() {
    let subject = methane();
    let with_password = || subject.build(json!({ "email": EMAIL, "password": PASSWORD }));
    let first = subject.world.broker(with_password()).token(World::NAME, &stac()).await;
    first.expect("no login is needed");
    subject.service.revoke_refresh_tokens();
    subject.world.clock.advance(TimeDelta::days(30));
    subject.world.broker(with_password()).token(World::NAME, &stac()).await.expect("a token");
    assert_eq!((subject.service.pairs(), subject.service.mints()), (2, 2));
    let record = subject.world.record().expect("a record").to_string();
    assert!(!record.contains(PASSWORD), "the password is never stored");
}

#[tokio::test]
async fn wrong_password_is_sent_once() {
    let subject = methane();
    let wrong = || subject.build(json!({ "email": EMAIL, "password": "not this one" }));
    for _ in 0..3 {
        let error = subject.world.broker(wrong()).token(World::NAME, &stac()).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    assert_eq!(subject.service.count("pair"), 1, "by all processes");
    // A password that was not refused before is sent.
    let right = subject.build(json!({ "email": EMAIL, "password": PASSWORD }));
    subject.world.broker(right).token(World::NAME, &stac()).await.expect("a token");
}

#[tokio::test]
async fn mint_request_with_unknown_result_is_not_repeated() {
    for fault in [Fault::CutAfter, Fault::Truncated, Fault::HangAfter, Fault::Status(503), Fault::Html(200)] {
        let subject = methane();
        logged_in(&subject).await;
        subject.service.fault_always("create-stac", fault);
        let broker = subject.world.broker(subject.provider());
        let error = broker.token(World::NAME, &stac()).await.expect_err("no token");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(subject.service.count("create-stac"), 1);
        subject.service.clear_faults();
        broker.token(World::NAME, &stac()).await.expect("the next call works");
    }
}

#[tokio::test]
async fn scoped_tokens_are_separate_and_unknown_scopes_fail() {
    let subject = methane();
    let access = logged_in(&subject).await;
    let broker = subject.world.broker(subject.provider());
    let scoped = broker.token(World::NAME, &stac()).await.expect("a token");
    let plain = broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
    assert!(plain.secret().same_as(access.secret()) && !plain.secret().same_as(scoped.secret()));
    let error = broker.token(World::NAME, &TokenRequest::new().scope("stack")).await.expect_err("unknown");
    assert_eq!(error.code(), ErrorCode::ScopeUnsupported);
    let life = TokenRequest::new().expires("7d".parse().expect("a lifetime"));
    let error = broker.token(World::NAME, &life).await.expect_err("not without a scope");
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn logout_deletes_minted_tokens_by_configured_routes() {
    for routes in [
        json!({ "token_delete_path": "account/tokens/{id}" }),
        json!({ "token_delete_path": "account/tokens/{id}", "token_list_path": "account/tokens" }),
    ] {
        let subject = methane();
        logged_in(&subject).await;
        let broker = subject.world.broker(subject.build(routes));
        broker.token(World::NAME, &stac()).await.expect("a token");
        // The access token has expired, so the logout must refresh first.
        subject.world.clock.advance(TimeDelta::minutes(10));
        let done = broker.logout(World::NAME, false).await.expect("logged out");
        assert!(done.at_service.revoked);
        assert_eq!(subject.service.count("delete"), 1);
        assert!(subject.world.record().is_none());
    }
    let subject = methane();
    logged_in(&subject).await;
    let broker = subject.world.broker(subject.provider());
    broker.token(World::NAME, &stac()).await.expect("a token");
    let done = broker.logout(World::NAME, false).await.expect("logged out");
    let note = done.at_service.note.expect("where to delete it");
    assert!(
        note.contains("platform.carbonmapper.org/account/tokens") && note.contains("broker-testhost-"),
        "{note}"
    );
}

#[tokio::test]
async fn minted_token_lasts_the_requested_minimum_lifetime() {
    let subject = methane();
    logged_in(&subject).await;
    let request =
        stac().expires("2d".parse().expect("a lifetime")).min_ttl(std::time::Duration::from_hours(24 * 30));
    for _ in 0..3 {
        let broker = subject.world.broker(subject.provider());
        let token = broker.token(World::NAME, &request).await.expect("a token");
        let left = token.window().left(subject.world.clock.now()).expect("an expiry");
        assert!(left >= std::time::Duration::from_hours(24 * 30), "{left:?}");
    }
    assert_eq!(subject.service.mints(), 1, "one is enough");
}

#[tokio::test]
async fn logout_note_names_replaced_minted_tokens() {
    let subject = methane();
    logged_in(&subject).await;
    let broker = subject.world.broker(subject.provider());
    for _ in 0..3 {
        broker.token(World::NAME, &stac().force()).await.expect("a token");
    }
    let note = broker.logout(World::NAME, false).await.expect("logged out").at_service.note.expect("a note");
    for (name, _) in subject.service.minted() {
        assert!(note.contains(&name), "{name} in {note}");
    }
}

#[tokio::test]
async fn mint_retries_end_if_access_tokens_are_refused() {
    let subject = methane();
    logged_in(&subject).await;
    subject.world.clock.advance(TimeDelta::seconds(1));
    let refused = r#"{"detail":"Given token not valid for any token type","code":"token_not_valid"}"#;
    let refused = Fault::Answer { status: 401, headers: vec![], body: refused.to_owned() };
    subject.service.fault_always("create-stac", refused);
    let error =
        subject.world.broker(subject.provider()).token(World::NAME, &stac()).await.expect_err("refused");
    assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Unavailable), "{error}");
    assert!(subject.service.refreshes() <= 3, "the retries end");
    assert!(subject.world.record().expect("a record")["grant"]["refused_at"].is_null(), "the login is kept");
}

#[tokio::test]
async fn mint_response_without_token_value_stores_nothing() {
    for value in [json!(""), json!(null), json!(7)] {
        let subject = methane();
        logged_in(&subject).await;
        let token_value = value.clone();
        let edit = Fault::edit(move |answer| answer["token_value"] = token_value.clone());
        subject.service.fault("create-stac", edit);
        let broker = subject.world.broker(subject.provider());
        let error = broker.token(World::NAME, &stac()).await.expect_err("no token");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{value}: {error}");
        assert!(
            error.hint().is_some_and(|hint| hint.to_string().contains("broker-testhost-")),
            "the hint names the token"
        );
        assert!(subject.world.record().expect("a record")["tokens"]["stac"].is_null());
    }
}

#[tokio::test]
async fn refresh_response_with_status_401_ends_the_login() {
    for body in ["", "{}", r#"{"detail":"Token is invalid or expired","code":"token_not_valid"}"#] {
        let subject = methane();
        logged_in(&subject).await;
        subject.world.clock.advance(TimeDelta::hours(1));
        let refused = Fault::Answer { status: 401, headers: vec![], body: body.to_owned() };
        subject.service.fault("refresh", refused);
        let error =
            subject.world.broker(subject.provider()).token(World::NAME, &stac()).await.expect_err("ended");
        assert_eq!(error.kind(), ErrorKind::LoginRequired, "{body}: {error}");
    }
}

#[test]
fn configured_paths_must_stay_below_the_base_url() {
    let world = World::new();
    let build = |key: &str, path: &str| {
        let table = json!({ key: path });
        (crate::KIND.build)(&broker_core::Settings::new("carbonmapper", table, &world.env)).map(drop)
    };
    assert!(build("token_delete_path", "account/tokens/{id}").is_ok());
    for bad in ["account/tokens", "../../../x/{id}", "account/tokens?id={id}", "account/{id}x"] {
        assert!(build("token_delete_path", bad).is_err(), "{bad}");
    }
    assert!(build("token_list_path", "account/tokens").is_ok() && build("token_list_path", "../x").is_err());
}

#[tokio::test]
async fn rotated_refresh_token_is_kept_without_access_token() {
    let subject = Methane::new(CarbonMapperOptions { rotate_refresh: true, ..Default::default() });
    logged_in(&subject).await;
    subject.world.clock.advance(TimeDelta::hours(1));
    subject.service.fault("refresh", Fault::edit(|answer| answer["access"] = json!(null)));
    // The service has rotated the refresh token, so the next refresh must use the new one.
    subject.world.broker(subject.provider()).token(World::NAME, &stac()).await.expect("a token");
    assert_eq!((subject.service.pairs(), subject.service.refreshes()), (1, 2));
    // Without rotation, the response contains neither an access token nor a new refresh token.
    let subject = methane();
    logged_in(&subject).await;
    subject.world.clock.advance(TimeDelta::hours(1));
    subject.service.fault_always("refresh", Fault::edit(|answer| answer["access"] = json!(null)));
    let error = subject.world.broker(subject.provider()).token(World::NAME, &stac()).await.expect_err("none");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(subject.service.count("refresh"), 1);
}
