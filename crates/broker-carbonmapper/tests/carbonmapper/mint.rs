//! Tests of scoped tokens and of the login that mints them.

use std::time::Duration;

use broker_core::{Claims, Clock, ErrorCode, ErrorKind, Lifetime, TokenRequest};
use broker_testkit::{CarbonMapperOptions, Fault, World};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{Account, EMAIL, PASSWORD};

fn stac() -> TokenRequest {
    TokenRequest::new().scope("stac")
}

fn lasting(request: TokenRequest, lifetime: &str) -> TokenRequest {
    request.expires(lifetime.parse().expect("a lifetime"))
}

fn rotated() -> CarbonMapperOptions {
    CarbonMapperOptions { rotate_refresh: true, ..Default::default() }
}

/// Returns a logged-in account for each of the two provider kinds, `carbonmapper` and `login`.
async fn accounts() -> [Account; 2] {
    Account::logged_in(&CarbonMapperOptions::default()).await
}

async fn carbonmapper_account() -> Account {
    let [account, _] = accounts().await;
    account
}

/// Returns in how many days from today (UTC) the last minted token expires.
fn days(account: &Account) -> i64 {
    let (_, date) = account.service.minted().pop().expect("a scoped token");
    (date.parse::<NaiveDate>().expect("a date") - account.world.clock.now().date_naive()).num_days()
}

#[tokio::test]
async fn scoped_token_is_minted_once_and_stored() {
    for account in accounts().await {
        let kind = account.kind.name;
        let request = lasting(stac(), "7d");
        let first = account.token(&request).await;
        let again = account.token(&request).await;
        let access = account.token(&TokenRequest::new()).await;
        assert!(first.secret().same_as(again.secret()) && !first.secret().same_as(access.secret()), "{kind}");
        assert_eq!((account.service.mints(), days(&account)), (1, 7), "{kind}");
        let (name, date) = account.service.minted().pop().expect("a scoped token");
        let parts: Vec<_> = name.split('-').collect();
        assert_eq!((parts.len(), parts[0], parts[1], parts[2].len()), (4, "broker", "testhost", 8), "{name}");
        let details = &account.world.record().expect("a record")["tokens"]["stac"]["details"];
        assert_eq!(details["name"], json!(name), "{kind}: the record contains the token's name");
        assert!(details["token_value"].is_null(), "{kind}: the details do not repeat the token");
        let notices = account.world.person.told().join("\n");
        assert!(notices.contains(&name) && notices.contains("UTC days"), "{kind}: {notices}");
        let seen = account.service.seen();
        let body = seen.iter().find(|seen| seen.route == "create-stac").expect("a mint request").json();
        assert_eq!(body, json!({ "expiration_date": date, "name": name }), "{kind}");
    }
}

#[tokio::test]
async fn scoped_token_lifetime_is_rounded_up_to_whole_utc_days() {
    for account in accounts().await {
        let kind = account.kind.name;
        for (asked, expected) in [("7d", 7), ("2w", 14), ("1h", 1), ("24h", 1), ("25h", 2), ("36h", 2)] {
            account.token(&lasting(stac(), asked).force()).await;
            assert_eq!(days(&account), expected, "{kind}: {asked}");
        }
        let today = stac().expires(Lifetime::Until(account.world.clock.now().date_naive())).force();
        assert_eq!(account.token_error(&today).await.kind(), ErrorKind::Usage, "{kind}");
        assert_eq!(account.service.mints(), 6, "{kind}");
    }
}

#[tokio::test]
async fn scoped_token_expiry_is_jwt_claim_else_requested_date() {
    for scoped_is_jwt in [false, true] {
        let options = CarbonMapperOptions { scoped_is_jwt, ..Default::default() };
        for account in Account::logged_in(&options).await {
            let token = account.token(&stac()).await;
            let claimed = Claims::read(token.secret()).and_then(|claims| claims.expires_at());
            assert_eq!(claimed.is_some(), scoped_is_jwt, "{}", account.kind.name);
            let (_, date) = account.service.minted().pop().expect("a scoped token");
            let start = format!("{date}T00:00:00Z").parse::<DateTime<Utc>>().expect("a time");
            assert_eq!(token.expires_at(), Some(claimed.unwrap_or(start)), "{}", account.kind.name);
        }
    }
}

#[tokio::test]
async fn expired_or_refused_access_token_is_refreshed_before_minting() {
    for account in accounts().await {
        let counts = || (account.service.pairs(), account.service.refreshes(), account.service.mints());
        // The service refuses the access token, although the token has not expired.
        account.service.revoke_access_tokens();
        account.token(&stac()).await;
        assert_eq!(counts(), (1, 1, 1), "{}: refused", account.kind.name);
        account.world.clock.advance(TimeDelta::minutes(10));
        account.token(&stac().force()).await;
        assert_eq!(counts(), (1, 2, 2), "{}: expired", account.kind.name);
    }
}

#[tokio::test]
async fn refused_refresh_logs_in_with_configured_password() {
    for account in Account::of_each_kind(&CarbonMapperOptions::default()) {
        let broker = || account.world.broker(account.build_for(EMAIL, Some(PASSWORD)));
        broker().token(World::NAME, &stac()).await.expect("a token without a login");
        account.service.revoke_refresh_tokens();
        account.world.clock.advance(TimeDelta::days(30));
        broker().token(World::NAME, &stac()).await.expect("a token");
        assert_eq!((account.service.pairs(), account.service.mints()), (2, 2), "{}", account.kind.name);
        let record = account.world.record().expect("a record").to_string();
        assert!(!record.contains(PASSWORD), "{}: the record contains the password", account.kind.name);
    }
}

#[tokio::test]
async fn refused_password_is_not_sent_again() {
    for account in Account::of_each_kind(&CarbonMapperOptions::default()) {
        let broker = |password| account.world.broker(account.build_for(EMAIL, Some(password)));
        for _ in 0..3 {
            let error = broker("not this one").token(World::NAME, &stac()).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
        assert_eq!(account.service.count("pair"), 1, "{}: by all processes", account.kind.name);
        // Only the wrong password is blocked: the correct password still reaches the service.
        broker(PASSWORD).token(World::NAME, &stac()).await.expect("a token");
    }
}

#[tokio::test]
async fn mint_request_with_unknown_result_is_not_repeated() {
    for account in accounts().await {
        for fault in
            [Fault::CutAfter, Fault::Truncated, Fault::HangAfter, Fault::Status(503), Fault::Html(200)]
        {
            account.service.forget_seen();
            account.service.fault_always("create-stac", fault);
            let error = account.token_error(&stac().force()).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let hint = error.hint().expect("a hint").to_string();
            assert!(hint.contains("broker-testhost-"), "the hint does not name the token: {hint}");
            assert_eq!(account.service.count("create-stac"), 1, "{}", account.kind.name);
            account.service.clear_faults();
            account.token(&stac().force()).await;
        }
    }
}

#[tokio::test]
async fn token_request_with_unknown_scope_or_bad_name_fails() {
    for account in accounts().await {
        let plain = TokenRequest::new();
        for (request, code) in [
            (plain.clone().scope("stack"), ErrorCode::ScopeUnsupported),
            (lasting(plain.clone(), "7d"), ErrorCode::RequestUnsupported),
            (plain.name("x"), ErrorCode::RequestUnsupported),
            (stac().name("\n"), ErrorCode::UsageInvalid),
        ] {
            let error = account.token_error(&request).await;
            assert_eq!(error.code(), code, "{}: {error}", account.kind.name);
        }
        assert_eq!(account.service.mints(), 0);
    }
}

#[tokio::test]
async fn logout_deletes_scoped_token_at_configured_url_path() {
    for routes in [
        json!({ "token_delete_path": "account/tokens/{id}" }),
        json!({ "token_delete_path": "account/tokens/{id}", "token_list_path": "account/tokens" }),
    ] {
        let account = carbonmapper_account().await;
        let broker = account.world.broker(account.build(routes));
        broker.token(World::NAME, &stac()).await.expect("a token");
        // The access token has expired, so the logout must refresh first.
        account.world.clock.advance(TimeDelta::minutes(10));
        let done = broker.logout(World::NAME).await.expect("logged out");
        assert!(done.at_service.revoked);
        assert_eq!(account.service.count("delete"), 1);
        assert!(account.world.record().is_none());
    }
}

#[tokio::test]
async fn logout_message_lists_all_minted_scoped_tokens() {
    for account in accounts().await {
        for _ in 0..3 {
            account.token(&stac().force()).await;
        }
        let done = account.broker().logout(World::NAME).await.expect("logged out");
        let note = done.at_service.note.expect("a note");
        for (name, _) in account.service.minted() {
            assert!(note.contains(&name), "{}: {name} in {note}", account.kind.name);
        }
        let page = "platform.carbonmapper.org/account/tokens";
        assert!(note.contains(page) || account.kind.name == "login", "{note}");
        assert!(account.world.record().is_none(), "{}", account.kind.name);
    }
}

#[tokio::test]
async fn minted_token_is_valid_for_requested_minimum_lifetime() {
    let minimum = Duration::from_hours(24 * 30);
    for account in accounts().await {
        let request = lasting(stac(), "2d").min_ttl(minimum);
        for _ in 0..3 {
            let token = account.token(&request).await;
            let left = token.window().left(account.world.clock.now()).expect("an expiry");
            assert!(left >= minimum, "{}: {left:?}", account.kind.name);
        }
        assert_eq!(account.service.mints(), 1, "{}", account.kind.name);
    }
}

#[tokio::test]
async fn mint_refused_with_401_stops_retrying_and_keeps_login() {
    for account in accounts().await {
        account.world.clock.advance(TimeDelta::seconds(1));
        let refused = r#"{"detail":"Given token not valid for any token type","code":"token_not_valid"}"#;
        let refused = Fault::Answer { status: 401, headers: vec![], body: refused.to_owned() };
        account.service.fault_always("create-stac", refused);
        let error = account.token_error(&stac()).await;
        assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::Unavailable), "{error}");
        assert!(account.service.refreshes() <= 3, "{}", account.kind.name);
        let grant = &account.world.record().expect("a record")["grant"];
        assert!(grant["refused_at"].is_null(), "{}: the record lost its login", account.kind.name);
    }
}

#[tokio::test]
async fn mint_response_without_token_value_stores_nothing() {
    for account in accounts().await {
        for value in [json!(""), json!(null), json!(7)] {
            let token_value = value.clone();
            let edit = Fault::edit(move |answer| answer["token_value"] = token_value.clone());
            account.service.fault("create-stac", edit);
            let error = account.token_error(&stac()).await;
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{value}: {error}");
            let hint = error.hint().expect("a hint").to_string();
            assert!(hint.contains("broker-testhost-"), "the hint does not name the token: {hint}");
            assert!(account.world.record().expect("a record")["tokens"]["stac"].is_null(), "{value}");
        }
    }
}

#[tokio::test]
async fn only_token_not_valid_ends_the_login() {
    for (status, body, kind) in [
        (
            401,
            r#"{"detail":"Token is invalid or expired","code":"token_not_valid"}"#,
            ErrorKind::LoginRequired,
        ),
        (401, r#"{"detail":"no such user","code":"authentication_failed"}"#, ErrorKind::Unavailable),
        (401, "", ErrorKind::Unavailable),
        (401, "{}", ErrorKind::Unavailable),
        (403, r#"{"message":"Forbidden"}"#, ErrorKind::Unavailable),
        (404, r#"{"detail":"Not Found"}"#, ErrorKind::Unavailable),
        (401, r#"{"error":"login_required"}"#, ErrorKind::Unavailable),
    ] {
        for account in accounts().await {
            account.world.clock.advance(TimeDelta::hours(1));
            let refused = Fault::Answer { status, headers: vec![], body: body.to_owned() };
            account.service.fault("refresh", refused);
            let error = account.token_error(&stac()).await;
            assert_eq!(error.kind(), kind, "{body}: {error}");
        }
    }
}

#[test]
fn configured_paths_must_stay_below_the_base_url() {
    let world = World::new();
    let build = |key: &str, path: &str| {
        let settings = broker_core::Settings::new("carbonmapper", json!({ key: path }), &world.env);
        (broker_carbonmapper::KIND.build)(&settings).map(drop)
    };
    assert!(build("token_delete_path", "account/tokens/{id}").is_ok());
    for bad in ["account/tokens", "../../../x/{id}", "account/tokens?id={id}", "account/{id}x"] {
        assert!(build("token_delete_path", bad).is_err(), "{bad}");
    }
    assert!(build("token_list_path", "account/tokens").is_ok() && build("token_list_path", "../x").is_err());
}

#[tokio::test]
async fn rotated_refresh_token_in_malformed_response_is_saved() {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 3] = [
        ("no token", |answer| answer["access"] = json!(null)),
        ("an error", |answer| answer["error"] = json!("unknown_error")),
        ("nested", |answer| *answer = json!({"data": answer.take()})),
    ];
    for (what, edit) in edits {
        for account in Account::logged_in(&rotated()).await {
            account.world.clock.advance(TimeDelta::hours(1));
            account.service.fault("refresh", Fault::edit(edit));
            // After the rotation, only the new refresh token is valid.
            account.token(&stac()).await;
            let requests = (account.service.pairs(), account.service.count("refresh"));
            assert_eq!(requests, (1, 2), "{}: {what}", account.kind.name);
        }
    }
}

#[tokio::test]
async fn refresh_response_without_tokens_fails_as_unavailable() {
    for account in accounts().await {
        account.world.clock.advance(TimeDelta::hours(1));
        account.service.fault_always("refresh", Fault::edit(|answer| answer["access"] = json!(null)));
        let error = account.token_error(&stac()).await;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert_eq!(account.service.count("refresh"), 1, "{}", account.kind.name);
    }
}
