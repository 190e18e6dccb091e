use broker_testkit::{EarthScope, EarthScopeOptions, ExpiresIn, Rotation};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::client::{Answer, get, post_form, post_json, send};
use super::{Moved, claims};

const AUDIENCE: &str = "audience=https%3A%2F%2Fapi.earthscope.org";
pub(crate) const CLIENT_ID: &str = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0";

/// Sends a request to the token endpoint. `form` contains all fields except the client id.
fn post_token(service: &EarthScope, form: &str) -> Answer {
    post_form(&format!("{}/oauth/token", service.url()), &format!("client_id={CLIENT_ID}&{form}"))
}

pub(crate) fn refresh(service: &EarthScope, token: &str) -> Answer {
    post_token(service, &format!("grant_type=refresh_token&refresh_token={token}&scopes=offline_access"))
}

fn start_device(service: &EarthScope, scope: &str) -> Value {
    let url = format!("{}/oauth/device/code", service.url());
    let answer = post_form(&url, &format!("client_id={CLIENT_ID}&scope={scope}&{AUDIENCE}"));
    assert_eq!(answer.status, 200);
    answer.json()
}

fn poll(service: &EarthScope, device: &Value) -> Answer {
    let code = device["device_code"].as_str().unwrap();
    let grant_type = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    post_token(service, &format!("grant_type={grant_type}&device_code={code}"))
}

fn error(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

pub(crate) fn with(rotation: Rotation) -> EarthScope {
    EarthScope::start(EarthScopeOptions { rotation, ..EarthScopeOptions::default() })
}

fn new_token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

#[test]
fn device_code_is_redeemed_once() {
    let service = EarthScope::start(EarthScopeOptions::default());
    let device = start_device(&service, "offline_access");
    assert_eq!(device["interval"], 5);
    assert_eq!(device["expires_in"], 900);
    let code = device["user_code"].as_str().unwrap();
    let complete = device["verification_uri_complete"].as_str().unwrap();
    assert_eq!(complete, format!("{}/activate?user_code={code}", service.url()));
    assert_eq!(poll(&service, &device).error(), error(403, "authorization_pending"));

    assert_eq!(service.user_codes(), [code]);
    service.approve(&code.to_lowercase().replace('-', " "));
    let answer = poll(&service, &device).json();
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(answer["expires_in"], 86_400);
    assert_eq!(answer["scope"], "offline_access");
    assert!(answer.get("id_token").is_none());
    let claims = claims(access);
    assert_eq!(claims["aud"], "https://api.earthscope.org");
    assert_eq!(claims["iss"], format!("{}/", service.url()));
    assert_eq!(claims["sub"], "auth0|5f1e");
    assert_eq!(claims["azp"], CLIENT_ID);
    let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life, 86_400);

    let profile = get(&format!("{}/beta/user/profile", service.url()), access);
    assert_eq!(profile.json()["primary_email"], "ada@example.org");
    assert_eq!(poll(&service, &device).error(), error(403, "invalid_grant"));
    assert_eq!(service.count("token"), 3);
    assert_eq!(service.seen()[0].form()["scope"], "offline_access");
}

#[test]
fn device_login_succeeds_if_approved_and_fails_if_denied() {
    let service = EarthScope::start(EarthScopeOptions::default());
    service.approve_after(2);
    let device = start_device(&service, "openid%20offline_access");
    assert_eq!(poll(&service, &device).status, 403);
    assert_eq!(poll(&service, &device).status, 403);
    assert!(poll(&service, &device).json()["id_token"].is_string());

    service.approve_all();
    let device = start_device(&service, "openid");
    assert!(poll(&service, &device).json().get("refresh_token").is_none());
    service.deny_all();
    let device = start_device(&service, "openid");
    assert_eq!(poll(&service, &device).error(), error(403, "access_denied"));
}

#[test]
fn fast_device_polls_get_slow_down_and_longer_interval() {
    let clock = Moved::default();
    let service = EarthScope::start(EarthScopeOptions {
        strict_polling: true,
        interval: None,
        complete_uri: false,
        now: clock.now(),
        ..EarthScopeOptions::default()
    });
    let device = start_device(&service, "offline_access");
    assert!(device.get("interval").is_none());
    assert!(device.get("verification_uri_complete").is_none());
    let pending = error(403, "authorization_pending");
    assert_eq!(poll(&service, &device).error(), pending);
    clock.forward(4);
    assert_eq!(poll(&service, &device).error(), error(429, "slow_down"));
    clock.forward(9);
    assert_eq!(poll(&service, &device).error(), error(429, "slow_down"));
    clock.forward(15);
    assert_eq!(poll(&service, &device).error(), pending);
    clock.forward(900);
    assert_eq!(poll(&service, &device).error(), error(403, "expired_token"));
}

#[test]
fn first_device_polls_get_slow_down_if_configured() {
    let service = EarthScope::start(EarthScopeOptions { slow_down_polls: 1, ..EarthScopeOptions::default() });
    service.approve_all();
    let device = start_device(&service, "offline_access");
    assert_eq!(poll(&service, &device).error(), error(429, "slow_down"));
    assert_eq!(poll(&service, &device).status, 200);
}

#[test]
fn user_can_approve_or_deny_on_the_activation_page() {
    let service = EarthScope::start(EarthScopeOptions::default());
    let device = start_device(&service, "offline_access");
    let page = device["verification_uri_complete"].as_str().unwrap();
    let shown = get(page, "").text();
    assert!(shown.contains(r#"<form method="post" action="/activate">"#), "{shown}");
    assert!(shown.contains(device["user_code"].as_str().unwrap()));
    let hostile = get(&format!("{}/activate?user_code=%22%3E%3Cscript", service.url()), "");
    assert!(!hostile.text().contains("<script"));
    assert_eq!(send(page, "POST", &[], "").status, 200);
    assert_eq!(poll(&service, &device).status, 200);
    assert_eq!(service.count("activate"), 3);
    assert_eq!(send(page, "POST", &[], "").status, 404);
}

#[test]
fn used_refresh_token_stays_valid_without_rotation() {
    let service = with(Rotation::Keep);
    let token = service.issue_refresh_token();
    assert_eq!(new_token(&refresh(&service, &token)), token);

    let service = with(Rotation::Omit);
    let token = service.issue_refresh_token();
    for _ in 0..2 {
        let answer = refresh(&service, &token);
        assert_eq!(answer.status, 200);
        assert!(answer.json().get("refresh_token").is_none());
    }
    assert_eq!(service.refreshes(), 2);
    assert!(service.is_live(&token));
}

#[test]
fn rotation_invalidates_only_the_old_refresh_token() {
    let service = with(Rotation::Rotate);
    let old = service.issue_refresh_token();
    let new = new_token(&refresh(&service, &old));
    assert_ne!(old, new);
    assert_eq!(refresh(&service, &old).error(), error(403, "invalid_grant"));
    assert!(!service.is_live(&old) && service.is_live(&new));
    assert_eq!((service.refreshes(), service.reuse_events()), (1, 1));
}

#[test]
fn refresh_token_reuse_revokes_only_its_own_login() {
    let service = with(Rotation::RotateDetectReuse);
    let (old, other) = (service.issue_refresh_token(), service.issue_refresh_token());
    let new = new_token(&refresh(&service, &old));
    assert_eq!(refresh(&service, &old).status, 403);
    assert_eq!(refresh(&service, &new).error(), error(403, "invalid_grant"));
    assert_eq!(service.reuse_events(), 1);
    assert!(service.is_live(&other));
}

#[test]
fn replaced_refresh_token_works_once_if_refresh_grace_is_1() {
    let service = EarthScope::start(EarthScopeOptions {
        rotation: Rotation::RotateDetectReuse,
        refresh_grace: 1,
        ..EarthScopeOptions::default()
    });
    let old = service.issue_refresh_token();
    let lost = new_token(&refresh(&service, &old));
    let again = new_token(&refresh(&service, &old));
    assert_ne!(lost, again);
    assert!(service.is_live(&again));
    assert_eq!(refresh(&service, &old).status, 403);
    assert!(!service.is_live(&again));
}

#[test]
fn revoked_refresh_token_is_refused() {
    let service = with(Rotation::Rotate);
    let token = service.issue_refresh_token();
    let answer = refresh(&service, &token).json();
    let (access, token) = (answer["access_token"].as_str(), answer["refresh_token"].as_str());
    let url = format!("{}/oauth/revoke", service.url());
    let as_form = post_form(&url, &format!("client_id={CLIENT_ID}&token={}", token.unwrap()));
    assert_eq!(as_form.error(), error(400, "invalid_request"));
    for token in [token, Some("unknown")] {
        assert_eq!(post_json(&url, &json!({"client_id": CLIENT_ID, "token": token})).status, 200);
    }
    assert_eq!(service.revoked(), [token.unwrap()]);
    assert_eq!(refresh(&service, token.unwrap()).status, 403);
    assert!(service.access_is_live(access.unwrap()));

    let token = service.issue_refresh_token();
    service.revoke_everything();
    assert_eq!(refresh(&service, &token).error(), error(403, "invalid_grant"));
    assert!(service.is_live(&service.issue_refresh_token()));
}

#[test]
fn client_credentials_response_has_no_refresh_token() {
    let service = EarthScope::start(EarthScopeOptions {
        client_secret: Some("s3".to_owned()),
        expires_in_form: ExpiresIn::String,
        ..EarthScopeOptions::default()
    });
    let with_secret = |service: &EarthScope, secret: &str| {
        post_token(service, &format!("grant_type=client_credentials&{AUDIENCE}&client_secret={secret}"))
    };
    let answer = with_secret(&service, "s3").json();
    assert_eq!(answer["expires_in"], "86400");
    assert!(answer.get("refresh_token").is_none());
    assert_eq!(claims(answer["access_token"].as_str().unwrap())["sub"], format!("{CLIENT_ID}@clients"));
    assert_eq!(with_secret(&service, "x").error(), error(401, "invalid_client"));
    let user_login_only = EarthScope::start(EarthScopeOptions::default());
    assert_eq!(with_secret(&user_login_only, "s3").error(), error(403, "unauthorized_client"));
}

#[test]
fn invalid_token_requests_get_error_codes_of_rfc_6749() {
    let service = EarthScope::start(EarthScopeOptions::default());
    let url = format!("{}/oauth/token", service.url());
    let token = service.issue_refresh_token();
    for (form, code) in [
        ("grant_type=password", "unsupported_grant_type"),
        ("", "invalid_request"),
        (&format!("grant_type=refresh_token&refresh_token={token}&scope=admin"), "invalid_scope"),
    ] {
        assert_eq!(post_token(&service, form).error(), error(400, code));
    }
    let stranger = post_form(&url, "client_id=x&grant_type=refresh_token");
    assert_eq!(stranger.error(), error(401, "invalid_client"));
    assert_eq!(send(&url, "GET", &[], "").status, 405);
    assert_eq!(send(&format!("{url}/x"), "POST", &[], "").status, 404);
    assert_eq!(get(&format!("{}/beta/user/profile", service.url()), "x").status, 401);
}

#[test]
fn aws_keys_need_a_valid_access_token() {
    let service = EarthScope::start(EarthScopeOptions { aws_life: 900, ..Default::default() });
    let token = service.issue_refresh_token();
    let answer = refresh(&service, &token).json();
    let access = answer["access_token"].as_str().unwrap();
    let url = format!("{}/beta/user/credentials/aws", service.url());
    let keys = get(&format!("{url}/s3-miniseed-v2?network=FDSN:UO"), access).json();
    for (name, begins) in
        [("access_key_id", "ASIA"), ("secret_access_key", "KANARIE"), ("session_token", "IQoJ")]
    {
        assert!(keys[format!("aws_{name}")].as_str().unwrap().starts_with(begins), "{name}");
    }
    let expiry: DateTime<Utc> = keys["expiration"].as_str().unwrap().parse().unwrap();
    assert!((Utc::now() + TimeDelta::seconds(900) - expiry).abs() < TimeDelta::seconds(60));
    assert_eq!(service.seen().last().unwrap().query, "network=FDSN:UO");
    assert_eq!(get(&format!("{url}/s3-miniseed-v2"), "x").status, 401);
    assert_eq!(get(&format!("{url}/root"), access).status, 404);
}
