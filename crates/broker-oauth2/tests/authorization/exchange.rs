//! Tests of the exchange of the authorization code at the token endpoint.

use broker_core::{ErrorCode, ErrorKind, WITHHELD};
use broker_testkit::Fault;

use super::login::{Plan, RunningLogin, response, start_with};

async fn login(fault: Fault) -> RunningLogin {
    let mut login = start_with(Plan::default(), fault);
    login.request().await.follow("state=STATE&code=spent-once").await;
    login
}

#[tokio::test]
async fn authorization_code_is_sent_once_if_exchange_fails() {
    for (name, fault, code) in [
        ("refused flow", response(400, r#"{"error":"unauthorized_client"}"#), ErrorCode::RequestRefused),
        ("invalid_client", response(401, r#"{"error":"invalid_client"}"#), ErrorCode::ClientRefused),
        ("used code", response(400, r#"{"error":"invalid_grant"}"#), ErrorCode::LoginRequired),
        ("503", response(503, r#"{"error":"invalid_grant"}"#), ErrorCode::ServiceUnavailable),
        ("500", Fault::Status(500), ErrorCode::ServiceUnavailable),
        ("connection lost", Fault::CutAfter, ErrorCode::NetworkUnreachable),
        ("web page", Fault::Html(200), ErrorCode::BadResponse),
        ("web page with status 403", Fault::Html(403), ErrorCode::BadResponse),
        ("garbage", Fault::Garbage, ErrorCode::BadResponse),
        ("no token", response(200, "{}"), ErrorCode::BadResponse),
    ] {
        let mut login = login(fault).await;
        let error = login.end().await.expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.kind() == ErrorKind::Refused || error.hint().is_some(), "{error:?}");
        assert_eq!(login.service.seen().len(), 1, "{name}: the code is sent once");
        assert!(!format!("{error:?}").contains("spent-once"));
    }
}

#[tokio::test]
async fn failed_exchange_keeps_a_hint_on_network_or_pause() {
    let pause = vec![("retry-after".to_owned(), "600".to_owned())];
    let paused = Fault::Answer { status: 429, headers: pause, body: String::new() };
    for (fault, expected) in [
        (paused, "pause of 10m"),
        (Fault::Redirect("https://portal.example".to_owned()), "redirect"),
        (Fault::Status(500), "works only once"),
    ] {
        let error = login(fault).await.end().await.expect_err(expected);
        let hint = error.hint().expect(expected).to_string();
        assert!(hint.contains(expected), "{hint}");
    }
}

#[tokio::test]
async fn authorization_code_in_error_response_is_redacted() {
    let body = r#"{"error":"invalid_grant","error_description":"code spent-once is spent"}"#;
    let error = login(response(400, body)).await.end().await.expect_err("a refused code");
    assert!(error.message().contains(WITHHELD) && !error.message().contains("spent-once"), "{error}");
}

#[tokio::test]
async fn authorization_code_is_sent_again_after_status_429() {
    let mut login = login(response(429, "")).await;
    assert_eq!(login.end().await.expect_err("the service is busy").code(), ErrorCode::RateLimited);
    assert_eq!(login.service.count("token"), 3);
}

#[tokio::test]
async fn refresh_token_in_malformed_token_response_is_saved() {
    let bodies = [
        r#"{"refresh_token":"kept-1"}"#,
        r#"{"refresh_token":"kept-1","access_tok"#,
        r#"{"error":"x","refresh_token":"kept-1"}"#,
    ];
    for body in bodies {
        let answer = login(response(200, body)).await.end().await.expect("a refresh token");
        assert!(answer.token.is_none(), "{body}");
        assert_eq!(answer.refresh_token.expect("saved").expose(), "kept-1", "{body}");
    }
}
