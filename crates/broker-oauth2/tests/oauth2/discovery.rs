//! Tests of endpoints that are discovered from the issuer's metadata.

use broker_core::{ErrorCode, Login, Secret, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{Lab, TOKEN, secret, token, with};

const ISSUER: &str = "https://login.example.org/realm";
const OIDC: &str = "https://login.example.org/realm/.well-known/openid-configuration";
const RFC8414: &str = "https://login.example.org/.well-known/oauth-authorization-server/realm";
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
    assert_eq!(urls(&lab), [TOKEN], "the metadata is less than a day old");
    lab.world.clock.advance(TimeDelta::hours(5));
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-3");
    assert_eq!(urls(&lab), [OIDC, TOKEN], "the metadata is more than a day old");
}

#[tokio::test]
async fn login_stores_the_issuer_metadata() {
    let lab = lab(OIDC);
    lab.broker(client_credentials())
        .login(World::NAME, Login::Usual)
        .await
        .expect("the client secret is valid");
    assert_eq!(urls(&lab), [OIDC, TOKEN]);
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(client_credentials())).await, "token-2");
    assert_eq!(urls(&lab), [TOKEN]);
}

#[tokio::test]
async fn configured_token_endpoint_is_used_without_discovery() {
    let lab = lab(OIDC);
    let own = "https://own.example.org/token";
    lab.issues_tokens(own, "own");
    let table = with(client_credentials(), json!({ "token_url": own }));
    assert_eq!(secret(&lab.broker(table)).await, "own-1");
    assert_eq!(urls(&lab), [own], "no discovery");
}

#[tokio::test]
async fn token_call_before_device_login_sends_no_request() {
    let lab = lab(OIDC);
    let table = json!({ "flow": "device", "issuer": ISSUER, "client_id": "me" });
    let error = token(&lab.broker(table)).await.expect_err("no login");
    assert_eq!(error.code(), ErrorCode::LoginRequired, "{error}");
    assert!(urls(&lab).is_empty());
}

/// Returns responses without usable metadata, with the code of the expected error, a word of the expected hint, and
/// the requested URLs.
fn unusable() -> [(u16, Value, ErrorCode, &'static str, &'static [&'static str]); 10] {
    let (first, both, retries) = (&[OIDC][..], &[OIDC, RFC8414][..], &[OIDC, OIDC, OIDC][..]);
    let portal = "sign-in page";
    let http = json!({ "issuer": ISSUER, "token_endpoint": "http://login.example.org/token" });
    [
        (200, json!({ "issuer": ISSUER }), ErrorCode::ConfigMissingKey, "`token_url`", first),
        (200, http, ErrorCode::ConfigInvalid, "`token_url`", first),
        (200, json!({ "token_endpoint": TOKEN }), ErrorCode::ConfigInvalid, "`token_url`", both),
        (200, json!("a page of an app"), ErrorCode::BadResponse, "`issuer`", both),
        (
            200,
            json!({ "captive": true, "user-portal-url": "https://a.example" }),
            ErrorCode::BadResponse,
            portal,
            both,
        ),
        (302, Value::Null, ErrorCode::RedirectRefused, portal, both),
        (511, Value::Null, ErrorCode::BadResponse, portal, retries),
        (400, json!({ "error": "maintenance" }), ErrorCode::ConfigInvalid, "`token_url`", both),
        (404, Value::Null, ErrorCode::ConfigInvalid, "`token_url`", both),
        (503, json!({ "error": "temporarily_unavailable" }), ErrorCode::ServiceUnavailable, "", retries),
    ]
}

#[tokio::test]
async fn unusable_metadata_does_not_replace_stored_metadata() {
    for (status, body, ..) in unusable() {
        let lab = lab(OIDC);
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
        lab.world.clock.advance(TimeDelta::hours(30));
        let response = body.clone();
        lab.answers(OIDC, move |_| (status, response.clone()));
        lab.calls();
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-2", "{status} {body}");
        assert_eq!(urls(&lab).last().unwrap(), TOKEN, "the stored metadata is used");
        lab.answers(OIDC, |_| (200, metadata()));
        lab.world.clock.advance(TimeDelta::hours(2));
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-3");
        assert_eq!(urls(&lab), [OIDC, TOKEN], "the metadata is requested again soon");
    }
}

#[tokio::test]
async fn unusable_metadata_stores_nothing_and_requests_no_token() {
    for (status, body, code, hint, requested) in unusable() {
        let lab = lab(OIDC);
        let response = body.clone();
        lab.answers(OIDC, move |_| (status, response.clone()));
        let error = token(&lab.broker(client_credentials())).await.expect_err("no endpoint");
        assert_eq!(error.code(), code, "{status} {body}: {error}");
        assert!(error.hint().unwrap().to_string().contains(hint), "{status} {body}: {error:?}");
        assert_eq!(urls(&lab), requested, "{status} {body}");
        lab.answers(OIDC, |_| (200, metadata()));
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1", "{status} {body}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_than_configured_is_refused() {
    let other = "https://other.example.org/realm";
    for (found, is_stored) in [("https://login.example.org/realm/", false), (other, false), (other, true)] {
        let lab = lab(OIDC);
        if is_stored {
            assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
            lab.world.clock.advance(TimeDelta::hours(30));
            lab.calls();
        }
        lab.answers(OIDC, move |_| (200, json!({ "issuer": found, "token_endpoint": TOKEN })));
        let error = token(&lab.broker(client_credentials())).await.expect_err("another issuer");
        assert_eq!(error.code(), ErrorCode::ConfigInvalidValue, "{error}");
        assert!(error.message().contains(found) && error.message().contains(ISSUER), "{error}");
        assert_eq!(urls(&lab), [OIDC], "no secret is sent");
    }
}

#[tokio::test]
async fn hint_for_metadata_of_another_issuer_can_be_followed() {
    for (found, is_usable) in [
        ("https://login.example.org/realm/", true),
        ("https://login.example.org/4f2a/v2.0", true),
        ("https://tenant.example.org/realm", true),
        ("https://login.example.org/{tenantid}/v2.0", false),
        ("https://sts.example.org/{tid}/", false),
        ("http://login.example.org/realm", false),
        ("http://localhost:8080/realm", false),
        ("https://keycloak:8443/realm", false),
        ("https://login.example.org/realm?x=1", false),
        ("https://login.example.org/\"realm", false),
        ("https://login.example.org/\u{1b}[2J", false),
        ("login.example.org", false),
        ("", false),
    ] {
        let lab = Lab::new();
        lab.issues_tokens(TOKEN, "token");
        let published = json!({ "issuer": found, "token_endpoint": TOKEN });
        for url in
            [OIDC.to_owned(), format!("{}/.well-known/openid-configuration", found.trim_end_matches('/'))]
        {
            let published = published.clone();
            lab.answers(&url, move |_| (200, published.clone()));
        }
        let error = token(&lab.broker(client_credentials())).await.expect_err("another issuer");
        let hint = error.hint().unwrap().to_string();
        let named = hint.split_once("issuer = \"").and_then(|(_, rest)| rest.split_once('"'));
        assert_eq!(named.map(|(issuer, _)| issuer), is_usable.then_some(found), "{found}: {hint}");
        assert!(hint.contains("set `token_url` instead of `issuer`"), "{found}: {hint}");
        if is_usable {
            let broker = lab.broker(with(client_credentials(), json!({ "issuer": found })));
            assert_eq!(secret(&broker).await, "token-1", "{hint}");
        }
        let mut table = with(client_credentials(), json!({ "token_url": TOKEN }));
        table.as_object_mut().unwrap().remove("issuer");
        token(&lab.broker(table)).await.expect("the hint works");
    }
}

#[tokio::test]
async fn hint_names_the_urls_that_replace_discovery() {
    let flows = [("device", "`token_url` and `device_url`"), ("authorization_code", "`authorization_url`")];
    for (status, body) in [(200, json!("a page")), (302, json!("elsewhere")), (404, Value::Null)] {
        for (flow, keys) in flows {
            let lab = Lab::new();
            for url in [OIDC, RFC8414] {
                let body = body.clone();
                lab.answers(url, move |_| (status, body.clone()));
            }
            let broker = lab.broker(json!({ "flow": flow, "issuer": ISSUER, "client_id": "me" }));
            let error = broker.login(World::NAME, Login::Usual).await.expect_err("no metadata");
            assert!(error.hint().unwrap().to_string().contains(keys), "{error:?}");
        }
    }
}

#[tokio::test]
async fn rfc8414_metadata_url_is_tried_if_openid_url_fails() {
    for response in [
        (200, json!("a page")),
        (302, json!("elsewhere")),
        (200, json!({ "token_endpoint": "x" })),
        (404, Value::Null),
    ] {
        let lab = lab(RFC8414);
        lab.answers(OIDC, move |_| response.clone());
        assert_eq!(secret(&lab.broker(client_credentials())).await, "token-1");
        assert_eq!(urls(&lab), [OIDC, RFC8414, TOKEN]);
    }
}

#[tokio::test]
async fn forced_renewal_reads_the_issuer_metadata_again() {
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
    // If discovery fails, the broker uses the stored metadata.
    lab.answers(OIDC, |_| (503, json!({})));
    lab.world.clock.advance(TimeDelta::minutes(5));
    let token = lab.broker(client_credentials()).token(World::NAME, &forced).await.expect("a token");
    assert_eq!(token.secret().expose(), "moved-2");
}

const REVOKE: &str = "https://login.example.org/oauth/revoke";

fn refresh_token() -> Value {
    json!({ "flow": "refresh_token", "issuer": ISSUER, "client_id": "me" })
}

/// Logs in at a service that publishes `metadata`.
async fn logged_in(metadata: Value) -> Lab {
    let lab = lab(OIDC);
    lab.answers(OIDC, move |_| (200, metadata.clone()));
    let login = Login::RefreshToken(Secret::new("refresh-0"));
    lab.broker(refresh_token()).login(World::NAME, login).await.expect("a login");
    lab.answers(REVOKE, |_| (200, json!({})));
    lab.calls();
    lab
}

fn with_revocation() -> Value {
    with(metadata(), json!({ "revocation_endpoint": REVOKE }))
}

#[tokio::test]
async fn logout_fails_if_revocation_url_cannot_be_discovered() {
    let lab = logged_in(metadata()).await;
    for response in
        [(503, json!({})), (400, json!({ "error": "maintenance" })), (200, json!({ "issuer": ISSUER }))]
    {
        lab.answers(OIDC, move |_| response.clone());
        lab.broker(refresh_token()).logout(World::NAME).await.expect_err("an unknown endpoint");
        assert!(!lab.world.record().unwrap()["grant"].is_null(), "the login stays");
    }
    lab.answers(OIDC, |_| (200, with_revocation()));
    lab.calls();
    let out = lab.broker(refresh_token()).logout(World::NAME).await.expect("a logout");
    assert!(out.at_service.revoked);
    assert_eq!(urls(&lab), [OIDC, REVOKE, REVOKE]);
}

#[tokio::test]
async fn logout_uses_revocation_endpoint_of_stored_metadata() {
    let lab = logged_in(with_revocation()).await;
    lab.world.clock.advance(TimeDelta::hours(30));
    lab.answers(OIDC, |_| (200, json!({ "issuer": ISSUER })));
    let out = lab.broker(refresh_token()).logout(World::NAME).await.expect("a logout");
    assert!(out.at_service.revoked);
    assert_eq!(urls(&lab), [OIDC, REVOKE]);
}
