//! Tests of revocation (RFC 7009) and introspection (RFC 7662).

use broker_core::{ErrorCode, ScopeKey, WITHHELD};
use broker_testkit::World;
use serde_json::{Value, json};

use crate::lab::{Lab, TOKEN, secret};

const REVOKE: &str = "https://login.example.org/oauth/revoke";
const INTROSPECT: &str = "https://login.example.org/oauth/introspect";

fn table() -> Value {
    json!({
        "flow": "refresh_token", "token_url": TOKEN, "revocation_url": REVOKE, "introspection_url": INTROSPECT,
        "client_id": "me", "client_secret": "s3cret",
    })
}

#[tokio::test]
async fn logout_revokes_refresh_token_before_access_token() {
    let lab = Lab::logged_in(TOKEN, table()).await;
    lab.answers(REVOKE, |_| (200, json!({})));
    let out = lab.broker(table()).logout(World::NAME).await.expect("a logout");
    assert!(out.at_service.revoked && out.at_service.note.is_none());
    let calls = lab.calls();
    let tokens: Vec<_> =
        calls.iter().map(|call| (call.field("token"), call.field("token_type_hint"))).collect();
    assert_eq!(
        tokens,
        [(Some("refresh-token-1"), Some("refresh_token")), (Some("token-1"), Some("access_token"))]
    );
    assert!(calls.iter().all(|call| call.authorization.is_some()), "the client is authenticated");
    assert!(lab.world.record().is_none_or(|record| record["grant"].is_null()));
}

#[tokio::test]
async fn logout_keeps_the_login_if_revocation_fails() {
    let lab = Lab::logged_in(TOKEN, table()).await;
    lab.answers(REVOKE, |_| (503, json!({})));
    let error = lab.broker(table()).logout(World::NAME).await.expect_err("the service is down");
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable, "{error}");
    lab.answers(REVOKE, |_| (401, json!({ "error": "invalid_client" })));
    let error = lab.broker(table()).logout(World::NAME).await.expect_err("refused");
    assert_eq!(error.code(), ErrorCode::ClientRefused, "{error}");
    assert_eq!(lab.world.record().unwrap()["grant"]["secret"], "refresh-token-1");
}

#[tokio::test]
async fn logout_says_that_revocation_url_is_not_configured() {
    let mut table = table();
    table.as_object_mut().unwrap().remove("revocation_url");
    let lab = Lab::logged_in(TOKEN, table.clone()).await;
    let out = lab.broker(table).logout(World::NAME).await.expect("a logout");
    assert!(!out.at_service.revoked && out.at_service.note.unwrap().contains("`revocation_url`"));
}

#[tokio::test]
async fn introspection_returns_the_services_response() {
    let lab = Lab::logged_in(TOKEN, table()).await;
    lab.answers(INTROSPECT, |call| (200, json!({ "active": call.field("token") == Some("token-1") })));
    let broker = lab.broker(table());
    assert_eq!(secret(&broker).await, "token-1");
    let response = broker
        .provider(World::NAME)
        .expect("a provider")
        .introspect(&ScopeKey::default())
        .await
        .expect("a response");
    assert_eq!(response.expect("an object")["active"], true);
    assert!(lab.calls()[0].authorization.is_some(), "the client is authenticated");
    let mut without = table();
    without.as_object_mut().unwrap().remove("introspection_url");
    let response = lab
        .broker(without)
        .provider(World::NAME)
        .expect("a provider")
        .introspect(&ScopeKey::default())
        .await
        .expect("no error");
    assert!(response.is_none());
}

#[tokio::test]
async fn introspection_withholds_claims_that_repeat_the_token() {
    let lab = Lab::logged_in(TOKEN, table()).await;
    lab.answers(INTROSPECT, |call| {
        let token = call.field("token").unwrap();
        let repeated = format!("x%20{token}");
        (200, json!({ "active": true, "token": token, "all": [repeated], "sub": "ada", token: "v" }))
    });
    let broker = lab.broker(table());
    secret(&broker).await;
    let claims = broker
        .provider(World::NAME)
        .expect("a provider")
        .introspect(&ScopeKey::default())
        .await
        .expect("a response");
    let expected = json!({ "active": true, "token": WITHHELD, "all": WITHHELD, "sub": "ada", WITHHELD: "v" });
    assert_eq!(json!(claims), expected);
}

#[tokio::test]
async fn logout_without_refresh_token_revokes_the_access_token() {
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (200, json!({ "access_token": "only", "expires_in": 3600 })));
    lab.answers(REVOKE, |_| (200, json!({})));
    let table = json!({
        "flow": "password", "token_url": TOKEN, "revocation_url": REVOKE, "username": "ada", "password": "pw",
    });
    assert_eq!(secret(&lab.broker(table.clone())).await, "only");
    lab.calls();
    let out = lab.broker(table).logout(World::NAME).await.expect("a logout");
    assert!(out.at_service.revoked);
    let calls = lab.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(
        (calls[0].field("token"), calls[0].field("token_type_hint")),
        (Some("only"), Some("access_token"))
    );
}
