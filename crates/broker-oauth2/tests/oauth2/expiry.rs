//! Tests of when a token ends, by what a service says of it.

use broker_core::{ErrorCode, Login, State, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::json;

use crate::lab::{Lab, TOKEN, client_credentials, device, token, with};

#[tokio::test]
async fn login_without_expiry_or_refresh_token_lasts_until_rejected() {
    let (lab, table) = device(json!({ "access_token": "forever" }));
    lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    lab.world.clock.advance(TimeDelta::days(1000));
    let broker = lab.broker(table.clone());
    assert_eq!(token(&broker).await.expect("a token").expires_at(), None);
    let status = broker.status(World::NAME).expect("a status");
    assert_eq!((status.state, status.expires_at), (State::Valid, None));
    let rejected = broker.replace_rejected(World::NAME, &TokenRequest::new(), None).await;
    assert_eq!(rejected.expect_err("no other token").code(), ErrorCode::LoginRequired);
    let error = token(&lab.broker(table)).await.expect_err("the token is not used again");
    assert_eq!(error.code(), ErrorCode::LoginRequired);
}

#[tokio::test]
async fn missing_expiry_is_an_hour_if_the_token_is_renewable() {
    let hours = |hours| Some(TimeDelta::hours(hours));
    let without = json!({ "access_token": "t" });
    for (answer, keys, expected) in [
        (without.clone(), json!({}), None),
        (without.clone(), json!({ "life": "2h" }), hours(2)),
        (json!({ "access_token": "t", "refresh_token": "r" }), json!({}), hours(1)),
        (json!({ "access_token": "t", "expires_at": 7200 }), json!({}), hours(2)),
        (json!({ "access_token": "t", "expires_in": 0 }), json!({}), None),
        (json!({ "access_token": "t", "expires_in": -1 }), json!({}), None),
        (json!({ "access_token": "t", "expires_at": -62_135_596_800_i64 }), json!({}), None),
        (json!({ "access_token": "t", "expires_in": null, "expiry": "" }), json!({}), None),
    ] {
        let (lab, table) = device(answer.clone());
        let broker = lab.broker(with(table, keys));
        let logged_in = broker.login(World::NAME, Login::Usual).await.expect("a login");
        let token = logged_in.token.expect("a token");
        let lifetime = token.expires_at().map(|at| at - token.issued_at());
        assert_eq!(lifetime, expected, "{answer}");
    }
    let lab = Lab::new();
    lab.answers(TOKEN, move |_| (200, without.clone()));
    let token = token(&lab.broker(client_credentials())).await.expect("a token");
    assert_eq!(token.expires_at().map(|at| at - token.issued_at()), hours(1));
}

#[tokio::test]
async fn expired_token_of_a_service_is_an_error_without_a_clock_hint() {
    for (expired, ahead, is_clock) in [
        (json!({ "expires_in": -5 }), None, false),
        (json!({ "expires_in": -1e7 }), Some(0), false),
        (json!({ "expires_at": "2001-01-01" }), Some(1), false),
        (json!({ "expires_at": "2001-01-01" }), Some(3600), false),
        (json!({ "expires_in": -5 }), Some(3600), true),
    ] {
        let lab = Lab::new();
        let mut answer = expired.clone();
        answer["access_token"] = "t".into();
        lab.answers(TOKEN, move |_| (200, answer.clone()));
        if let Some(seconds) = ahead {
            lab.dated(lab.now() + TimeDelta::seconds(seconds));
        }
        let error = token(&lab.broker(client_credentials())).await.expect_err("an expired token");
        assert_eq!(error.code(), ErrorCode::TokenExpired, "{expired}");
        let shown = format!("{error} {}", error.hint().expect("a hint"));
        assert_eq!(shown.contains("clock"), is_clock, "{shown}");
    }
}

#[tokio::test]
async fn device_code_response_with_past_expiry_is_an_error() {
    let lab = Lab::new();
    let device = "https://login.example.org/device";
    lab.answers(device, |_| {
        (200, json!({ "device_code": "d", "user_code": "u", "verification_uri": "https://x.example", "expires_in": -3 }))
    });
    let table = json!({ "flow": "device", "token_url": TOKEN, "device_url": device, "client_id": "me" });
    let error = lab.broker(table).login(World::NAME, Login::Usual).await.expect_err("expired");
    assert_eq!(error.code(), ErrorCode::BadResponse, "{error}");
    assert!(error.message().contains("`expires_in`"), "{error}");
}
