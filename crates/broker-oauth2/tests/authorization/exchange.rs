//! The code at the token endpoint: it is sent once.

use broker_core::ErrorKind;
use broker_oauth2::Approved;
use broker_testkit::Fault;

use super::stage::{Begun, Plan, begin_with};

fn answer(status: u16, body: &str) -> Fault {
    Fault::Answer { status, headers: vec![], body: body.to_owned() }
}

async fn login(fault: Fault) -> Begun {
    let mut login = begin_with(Plan::default(), fault);
    login.request().await.come_back("state=STATE&code=spent-once").await;
    login
}

#[tokio::test]
async fn a_refusal_is_final_and_a_fault_is_not() {
    for (name, fault, kind) in [
        ("refused", answer(400, r#"{"error":"unauthorized_client"}"#), ErrorKind::Refused),
        ("client", answer(401, r#"{"error":"invalid_client"}"#), ErrorKind::Refused),
        ("spent", answer(400, r#"{"error":"invalid_grant"}"#), ErrorKind::LoginRequired),
        ("in trouble", answer(503, r#"{"error":"invalid_grant"}"#), ErrorKind::Unavailable),
        ("500", Fault::Status(500), ErrorKind::Unavailable),
        ("cut", Fault::CutAfter, ErrorKind::Unavailable),
        ("a page", Fault::Html(200), ErrorKind::Unavailable),
        ("a page with 403", Fault::Html(403), ErrorKind::Unavailable),
        ("garbage", Fault::Garbage, ErrorKind::Unavailable),
        ("no token", answer(200, "{}"), ErrorKind::Unavailable),
    ] {
        let mut login = login(fault).await;
        let error = login.end().await.expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(
            kind == ErrorKind::Refused || error.hint().unwrap().to_string().contains("log in again"),
            "{error:?}"
        );
        assert_eq!(login.service.seen().len(), 1, "{name}: the code is sent once");
        assert!(!format!("{error:?}").contains("spent-once"));
    }
}

#[tokio::test]
async fn what_a_service_repeats_of_the_code_is_not_shown() {
    let body = r#"{"error":"invalid_grant","error_description":"code spent-once is spent"}"#;
    let error = login(answer(400, body)).await.end().await.expect_err("refused");
    assert!(error.message().contains("is spent") && !error.message().contains("spent-once"), "{error}");
}

#[tokio::test]
async fn a_service_that_surely_did_not_act_is_asked_again() {
    let mut login = begin_with(Plan::default(), answer(429, ""));
    login.request().await.come_back("state=STATE&code=c").await;
    assert_eq!(login.end().await.expect_err("busy").kind(), ErrorKind::Unavailable);
    assert_eq!(login.service.count("token"), 3);
}

#[tokio::test]
async fn a_refresh_token_in_half_an_answer_is_kept() {
    let halves = [
        r#"{"refresh_token":"kept"}"#,
        r#"{"refresh_token":"kept","access_tok"#,
        r#"{"error":"x","refresh_token":"kept"}"#,
    ];
    for body in halves {
        match login(answer(200, body)).await.end().await {
            Ok(Approved::OnlyRefreshToken(kept, _)) => assert_eq!(kept.expose(), "kept"),
            other => panic!("{body}: {other:?}"),
        }
    }
}
