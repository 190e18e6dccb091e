//! Tests of endpoints that are discovered from the issuer's metadata.

use broker_core::{ErrorCode, Login, Secret, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{Lab, secret, token};

const ISSUER: &str = "https://login.example.org/realm";
const OIDC: &str = "https://login.example.org/realm/.well-known/openid-configuration";
const RFC8414: &str = "https://login.example.org/.well-known/oauth-authorization-server/realm";
const TOKEN: &str = "https://login.example.org/oauth/token";

fn client_credentials() -> Value {
    json!({ "flow": "client_credentials", "issuer": ISSUER, "client_id": "me", "client_secret": "s3cret" })
}

fn metadata() -> Value {
    json!({ "issuer": ISSUER, "token_endpoint": TOKEN })
}

fn lab(url: &str) -> Lab {
    let lab = Lab::new();
    lab.answers(url, |_| (200, metadata()));
    lab.issues_tokens(TOKEN, "token");
    lab
}

fn urls(lab: &Lab) -> Vec<String> {
    lab.calls().into_iter().map(|call| call.url).collect()
}

#[tokio::test]
async fn issuer_metadata_is_reused_for_a_day() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
    assert_eq!(urls(&lab), [OIDC, TOKEN]);
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
    assert!(urls(&lab).is_empty(), "a stored token needs no request");
    lab.world.clock.advance(TimeDelta::hours(20));
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-2");
    assert_eq!(urls(&lab), [TOKEN], "within the day");
    lab.world.clock.advance(TimeDelta::hours(5));
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-3");
    assert_eq!(urls(&lab), [OIDC, TOKEN], "after it");
}

#[tokio::test]
async fn login_stores_the_issuer_metadata() {
    let lab = lab(OIDC);
    lab.broker(client_credentials()).login(World::NAME, Login::Usual).await.expect("the secret works");
    assert_eq!(urls(&lab), [OIDC, TOKEN]);
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-2");
    assert_eq!(urls(&lab), [TOKEN]);
}

#[tokio::test]
async fn rfc8414_url_is_tried_if_the_openid_url_fails() {
    let lab = lab(RFC8414);
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
    assert_eq!(urls(&lab), [OIDC, RFC8414, TOKEN]);
}

#[tokio::test]
async fn issuer_in_metadata_must_equal_the_configured_one() {
    for found in ["https://login.example.org/realm/", "https://other.example.org/realm"] {
        let lab = lab(OIDC);
        lab.answers(OIDC, move |_| (200, json!({ "issuer": found, "token_endpoint": TOKEN })));
        let error = token(&lab.broker(client_credentials())).await.expect_err("another");
        assert_eq!(error.code(), ErrorCode::ConfigInvalidValue, "{error}");
        assert!(error.message().contains(found) && error.message().contains(ISSUER), "{error}");
        assert_eq!(urls(&lab), [OIDC], "no secret is sent");
    }
}

#[tokio::test]
async fn stored_metadata_is_used_while_the_issuer_is_down() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
    lab.world.clock.advance(TimeDelta::hours(30));
    lab.answers(OIDC, |_| (503, json!({})));
    lab.calls();
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-2");
    assert_eq!(urls(&lab).last().unwrap(), TOKEN);
    lab.world.clock.advance(TimeDelta::hours(2));
    lab.answers(OIDC, |_| (200, metadata()));
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-3");
    assert_eq!(urls(&lab), [OIDC, TOKEN], "requested again later");
}

#[tokio::test]
async fn missing_metadata_and_issuer_outage_have_different_codes() {
    let lab = Lab::new();
    let error = token(&lab.broker(client_credentials())).await.expect_err("no metadata");
    assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{error}");
    assert!(error.hint().unwrap().to_string().contains("`token_url`"), "{error:?}");
    lab.answers(OIDC, |_| (503, json!({ "error": "temporarily_unavailable" })));
    let error = token(&lab.broker(client_credentials())).await.expect_err("away");
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable, "{error}");
}

#[tokio::test]
async fn discovered_http_endpoint_receives_no_request() {
    let lab = lab(OIDC);
    lab.answers(OIDC, |_| {
        (200, json!({ "issuer": ISSUER, "token_endpoint": "http://login.example.org/token" }))
    });
    let error = token(&lab.broker(client_credentials())).await.expect_err("http");
    assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{error}");
    assert_eq!(urls(&lab), [OIDC]);
}

#[tokio::test]
async fn configured_endpoint_needs_no_discovery() {
    let lab = lab(OIDC);
    let own = "https://own.example.org/token";
    lab.issues_tokens(own, "own");
    let mut table = client_credentials();
    table["token_url"] = json!(own);
    assert_eq!(secret(&lab.broker(table)).await, "own-1");
    assert_eq!(urls(&lab), [own], "no discovery");
}

#[tokio::test]
async fn token_call_without_a_login_sends_no_request() {
    let lab = lab(OIDC);
    let table = json!({ "flow": "device", "issuer": ISSUER, "client_id": "me" });
    let error = token(&lab.broker(table)).await.expect_err("no login");
    assert_eq!(error.code(), ErrorCode::LoginRequired, "{error}");
    assert!(urls(&lab).is_empty());
}

/// Returns responses that contain no usable metadata.
fn unusable() -> [(u16, Value); 6] {
    [
        (200, json!({ "issuer": ISSUER })),
        (200, json!({ "issuer": ISSUER, "token_endpoint": "http://login.example.org/token" })),
        (200, json!({ "token_endpoint": TOKEN })),
        (200, json!("a page of an app")),
        (400, json!({ "error": "maintenance" })),
        (404, Value::Null),
    ]
}

#[tokio::test]
async fn unusable_metadata_does_not_replace_stored_metadata() {
    for (status, body) in unusable() {
        let lab = lab(OIDC);
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
        lab.world.clock.advance(TimeDelta::hours(30));
        let response = body.clone();
        lab.answers(OIDC, move |_| (status, response.clone()));
        lab.calls();
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-2", "{status} {body}");
        assert_eq!(urls(&lab).last().unwrap(), TOKEN, "the old metadata serves");
        lab.answers(OIDC, |_| (200, metadata()));
        lab.world.clock.advance(TimeDelta::hours(2));
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-3");
        assert_eq!(urls(&lab), [OIDC, TOKEN], "requested again soon");
    }
}

#[tokio::test]
async fn unusable_issuer_metadata_is_not_stored() {
    for (status, body) in unusable() {
        let lab = lab(OIDC);
        let response = body.clone();
        lab.answers(OIDC, move |_| (status, response.clone()));
        let error = token(&lab.broker(client_credentials())).await.expect_err("no endpoint");
        assert!(error.hint().is_some(), "{status} {body}: {error}");
        lab.answers(OIDC, |_| (200, metadata()));
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1", "{status} {body}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_is_an_error() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
    lab.world.clock.advance(TimeDelta::hours(30));
    lab.answers(OIDC, |_| (200, json!({ "issuer": "https://other.example.org", "token_endpoint": TOKEN })));
    lab.calls();
    let error = token(&lab.broker(client_credentials())).await.expect_err("another");
    assert_eq!(error.code(), ErrorCode::ConfigInvalidValue, "{error}");
    assert_eq!(urls(&lab), [OIDC], "no secret is sent");
}

#[tokio::test]
async fn second_metadata_url_is_tried_if_the_first_is_a_page() {
    for response in
        [(200, json!("a page")), (302, json!("elsewhere")), (200, json!({ "token_endpoint": "x" }))]
    {
        let lab = lab(RFC8414);
        lab.answers(OIDC, move |_| response.clone());
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
        assert_eq!(urls(&lab), [OIDC, RFC8414, TOKEN]);
    }
    let lab = Lab::new();
    lab.answers(OIDC, |_| (200, json!("a page")));
    let error = token(&lab.broker(client_credentials())).await.expect_err("neither");
    assert_eq!(error.code(), ErrorCode::BadResponse, "{error}");
    assert!(error.hint().unwrap().to_string().contains("`issuer`"), "{error:?}");
}

#[tokio::test]
async fn forced_token_request_repeats_discovery() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
    let moved = "https://login.example.org/new/token";
    lab.issues_tokens(moved, "moved");
    lab.answers(OIDC, move |_| (200, json!({ "issuer": ISSUER, "token_endpoint": moved })));
    lab.world.clock.advance(TimeDelta::minutes(5));
    lab.calls();
    let forced = TokenRequest::new().force();
    let token = lab.broker(client_credentials()).token(World::NAME, &forced).await.expect("a token");
    assert_eq!(token.secret().expose(), "moved-1");
    assert_eq!(urls(&lab), [OIDC, moved]);
    // A failed discovery does not stop the token request.
    lab.answers(OIDC, |_| (503, json!({})));
    lab.world.clock.advance(TimeDelta::minutes(5));
    let token = lab.broker(client_credentials()).token(World::NAME, &forced).await.expect("a token");
    assert_eq!(token.secret().expose(), "moved-2");
}

const REVOKE: &str = "https://login.example.org/oauth/revoke";

fn refresh_token() -> Value {
    json!({ "flow": "refresh_token", "issuer": ISSUER, "client_id": "me" })
}

async fn logged_in() -> Lab {
    let lab = lab(OIDC);
    let login = Login::RefreshToken(Secret::new("refresh-0"));
    lab.broker(refresh_token()).login(World::NAME, login).await.expect("a login");
    lab.answers(REVOKE, |_| (200, json!({})));
    lab.calls();
    lab
}

fn with_revocation() -> Value {
    json!({ "issuer": ISSUER, "token_endpoint": TOKEN, "revocation_endpoint": REVOKE })
}

#[tokio::test]
async fn logout_fails_if_the_revocation_endpoint_is_unknown() {
    let lab = logged_in().await;
    for response in
        [(503, json!({})), (400, json!({ "error": "maintenance" })), (200, json!({ "issuer": ISSUER }))]
    {
        lab.answers(OIDC, move |_| response.clone());
        lab.broker(refresh_token()).logout(World::NAME, false).await.expect_err("an unknown endpoint");
        assert!(!lab.world.record().unwrap()["grant"].is_null(), "the login stays");
    }
    lab.answers(OIDC, |_| (200, with_revocation()));
    lab.calls();
    let out = lab.broker(refresh_token()).logout(World::NAME, false).await.expect("a logout");
    assert!(out.at_service.revoked);
    assert_eq!(urls(&lab), [OIDC, REVOKE, REVOKE]);
}

#[tokio::test]
async fn logout_revokes_at_the_stored_endpoint() {
    let lab = lab(OIDC);
    lab.answers(OIDC, |_| (200, with_revocation()));
    lab.answers(REVOKE, |_| (200, json!({})));
    let login = Login::RefreshToken(Secret::new("refresh-0"));
    lab.broker(refresh_token()).login(World::NAME, login).await.expect("a login");
    lab.world.clock.advance(TimeDelta::hours(30));
    lab.answers(OIDC, |_| (200, json!({ "issuer": ISSUER })));
    lab.calls();
    let out = lab.broker(refresh_token()).logout(World::NAME, false).await.expect("a logout");
    assert!(out.at_service.revoked);
    assert_eq!(urls(&lab), [OIDC, REVOKE]);
}
