//! Endpoints that are found by the issuer.

use broker_core::{ErrorKind, Login};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{Lab, secret, token};

const ISSUER: &str = "https://login.example.org/realm";
const OIDC: &str = "https://login.example.org/realm/.well-known/openid-configuration";
const RFC8414: &str = "https://login.example.org/.well-known/oauth-authorization-server/realm";
const TOKEN: &str = "https://login.example.org/oauth/token";

fn machine() -> Value {
    json!({ "flow": "client_credentials", "issuer": ISSUER, "client_id": "me", "client_secret": "s3cret" })
}

fn metadata() -> Value {
    json!({ "issuer": ISSUER, "token_endpoint": TOKEN })
}

fn lab(place: &str) -> Lab {
    let lab = Lab::new();
    lab.answers(place, |_| (200, metadata()));
    lab.gives_tokens(TOKEN, "token");
    lab
}

fn urls(lab: &Lab) -> Vec<String> {
    lab.calls().into_iter().map(|call| call.url).collect()
}

#[tokio::test]
async fn what_is_found_is_kept_for_a_day() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(machine())).await, "token-1");
    assert_eq!(urls(&lab), [OIDC, TOKEN]);
    assert_eq!(secret(&lab.broker(machine())).await, "token-1");
    assert!(urls(&lab).is_empty(), "a held token makes no request");
    lab.world.clock.advance(TimeDelta::hours(20));
    assert_eq!(secret(&lab.broker(machine())).await, "token-2");
    assert_eq!(urls(&lab), [TOKEN], "within the day");
    lab.world.clock.advance(TimeDelta::hours(5));
    assert_eq!(secret(&lab.broker(machine())).await, "token-3");
    assert_eq!(urls(&lab), [OIDC, TOKEN], "after it");
}

#[tokio::test]
async fn a_login_keeps_what_it_found() {
    let lab = lab(OIDC);
    lab.broker(machine()).login(World::NAME, Login::Usual).await.expect("the secret works");
    assert_eq!(urls(&lab), [OIDC, TOKEN]);
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(machine())).await, "token-2");
    assert_eq!(urls(&lab), [TOKEN]);
}

#[tokio::test]
async fn the_other_place_is_looked_at_too() {
    let lab = lab(RFC8414);
    assert_eq!(secret(&lab.broker(machine())).await, "token-1");
    assert_eq!(urls(&lab), [OIDC, RFC8414, TOKEN]);
}

#[tokio::test]
async fn the_issuer_must_be_the_same_to_the_letter() {
    for theirs in ["https://login.example.org/realm/", "https://other.example.org/realm"] {
        let lab = lab(OIDC);
        lab.answers(OIDC, move |_| (200, json!({ "issuer": theirs, "token_endpoint": TOKEN })));
        let error = token(&lab.broker(machine())).await.expect_err("another");
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(error.message().contains(theirs) && error.message().contains(ISSUER), "{error}");
        assert_eq!(urls(&lab), [OIDC], "no secret is sent");
    }
}

#[tokio::test]
async fn what_was_known_serves_while_the_service_is_away() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(machine())).await, "token-1");
    lab.world.clock.advance(TimeDelta::hours(30));
    lab.answers(OIDC, |_| (503, json!({})));
    lab.calls();
    assert_eq!(secret(&lab.broker(machine())).await, "token-2");
    assert_eq!(urls(&lab).last().unwrap(), TOKEN);
    lab.world.clock.advance(TimeDelta::hours(2));
    lab.answers(OIDC, |_| (200, metadata()));
    assert_eq!(secret(&lab.broker(machine())).await, "token-3");
    assert_eq!(urls(&lab), [OIDC, TOKEN], "it is asked again when it is back");
}

#[tokio::test]
async fn without_an_answer_it_is_told_apart_whether_to_try_again() {
    let lab = Lab::new();
    let error = token(&lab.broker(machine())).await.expect_err("nothing there");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.hint().unwrap().contains("`token_url`"), "{error:?}");
    lab.answers(OIDC, |_| (503, json!({ "error": "temporarily_unavailable" })));
    let error = token(&lab.broker(machine())).await.expect_err("away");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn an_endpoint_in_clear_text_gets_nothing() {
    let lab = lab(OIDC);
    lab.answers(OIDC, |_| {
        (200, json!({ "issuer": ISSUER, "token_endpoint": "http://login.example.org/token" }))
    });
    let error = token(&lab.broker(machine())).await.expect_err("clear text");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert_eq!(urls(&lab), [OIDC]);
}

#[tokio::test]
async fn what_is_configured_wins() {
    let lab = lab(OIDC);
    let own = "https://own.example.org/token";
    lab.gives_tokens(own, "own");
    let mut table = machine();
    table["token_url"] = json!(own);
    assert_eq!(secret(&lab.broker(table)).await, "own-1");
    assert_eq!(urls(&lab), [own], "and nobody is asked");
}
