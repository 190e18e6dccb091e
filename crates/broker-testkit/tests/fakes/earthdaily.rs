use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_testkit::{Auth, EarthDaily, EarthDailyOptions, ExpiresIn};

use super::client::{Answer, FORM, get, post_form, send};
use super::{Moved, claims};

/// A client secret with characters that form encoding must escape.
const SECRET: &str = "a+b c%:/ü";
const ENCODED: &str = "a%2Bb+c%25%3A%2F%C3%BC";

fn start(options: EarthDailyOptions) -> EarthDaily {
    EarthDaily::start(EarthDailyOptions { secret: SECRET.to_owned(), ..options })
}

fn with(accept: Auth) -> EarthDaily {
    start(EarthDailyOptions { accept, ..Default::default() })
}

fn by_basic(service: &EarthDaily, encoded: &str, body: &str) -> Answer {
    let pair = STANDARD.encode(format!("EARTHDAILY_API_TOKEN:{encoded}"));
    send(&service.auth_url(), "POST", &[FORM, ("Authorization", &format!("Basic {pair}"))], body)
}

const GRANT: &str = "grant_type=client_credentials";

fn body(encoded: &str) -> String {
    format!("{GRANT}&client_id=EARTHDAILY_API_TOKEN&client_secret={encoded}")
}

fn by_body(service: &EarthDaily, encoded: &str) -> Answer {
    post_form(&service.auth_url(), &body(encoded))
}

#[test]
fn earthdaily_accepts_credentials_in_basic_header_or_body() {
    let status = |accept| {
        let service = with(accept);
        (by_basic(&service, ENCODED, GRANT).status, by_body(&service, ENCODED).status)
    };
    assert_eq!(status(Auth::Either), (200, 200));
    assert_eq!(status(Auth::BasicOnly), (200, 401));
    assert_eq!(status(Auth::BodyOnly), (401, 200));

    let service = with(Auth::Either);
    let both = by_basic(&service, ENCODED, &body(ENCODED));
    assert_eq!(both.error(), (400, "invalid_request".to_owned()));
    let legacy = format!("{}/oauth2/token", service.url());
    assert_eq!(post_form(&legacy, &body(ENCODED)).status, 200);
    assert_eq!(service.count("token"), 2);
}

#[test]
fn stac_route_accepts_an_access_token_until_its_expiry() {
    let clock = Moved::default();
    let service = start(EarthDailyOptions { now: clock.now(), ..Default::default() });
    let answer = by_body(&service, ENCODED).json();
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&3600.into(), &"Bearer".into()));
    let token = answer["access_token"].as_str().unwrap();
    let stac = format!("{}/platform/v1/stac", service.url());
    assert_eq!(get(&stac, token).json()["type"], "Catalog");
    assert_eq!(get(&format!("{stac}/search"), token).status, 200);
    assert_eq!(get(&format!("{stac}x"), token).status, 404);
    clock.forward(3600);
    assert_eq!(get(&stac, token).status, 401);
    assert_eq!(service.exchanges(), 1);
}

#[test]
fn earthdaily_refuses_wrong_secret_or_environment() {
    let service = with(Auth::Either);
    service.set_secret("new");
    let refused = by_basic(&service, ENCODED, GRANT);
    assert_eq!(refused.error(), (401, "invalid_client".to_owned()));
    assert!(refused.header("www-authenticate").unwrap().starts_with("Basic"));
    assert_eq!(by_basic(&service, "new", GRANT).status, 200);
    assert_eq!(post_form(&service.auth_url(), "").status, 400);

    let service = start(EarthDailyOptions { environment_mismatch: true, ..Default::default() });
    assert_eq!(by_body(&service, ENCODED).status, 403);
    assert_eq!(service.exchanges(), 0);
}

#[test]
fn earthdaily_jwt_has_exp_if_response_lacks_expires_in() {
    let clock = Moved::default();
    let service = start(EarthDailyOptions {
        jwt: true,
        life: 60,
        expires_in_form: ExpiresIn::Missing,
        now: clock.now(),
        ..EarthDailyOptions::default()
    });
    let answer = by_body(&service, ENCODED).json();
    assert!(answer.get("expires_in").is_none());
    let claims = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(claims["exp"], Moved::start().timestamp() + 60);
}
