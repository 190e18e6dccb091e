//! Endpoints that are found by the issuer.

use broker_core::{ErrorKind, Login, Secret, TokenRequest};
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
    assert!(error.hint().unwrap().to_string().contains("`token_url`"), "{error:?}");
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

#[tokio::test]
async fn without_a_login_nobody_is_asked() {
    let lab = lab(OIDC);
    let table = json!({ "flow": "device", "issuer": ISSUER, "client_id": "me" });
    let error = token(&lab.broker(table)).await.expect_err("no login");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error}");
    assert!(urls(&lab).is_empty());
}

/// What a service in disorder says of itself, for a while.
fn of_no_use() -> [(u16, Value); 6] {
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
async fn a_document_of_no_use_replaces_no_good_one() {
    for (status, body) in of_no_use() {
        let lab = lab(OIDC);
        assert_eq!(secret(&lab.broker(machine())).await, "token-1");
        lab.world.clock.advance(TimeDelta::hours(30));
        let said = body.clone();
        lab.answers(OIDC, move |_| (status, said.clone()));
        lab.calls();
        assert_eq!(secret(&lab.broker(machine())).await, "token-2", "{status} {body}");
        assert_eq!(urls(&lab).last().unwrap(), TOKEN, "what was known serves");
        lab.answers(OIDC, |_| (200, metadata()));
        lab.world.clock.advance(TimeDelta::hours(2));
        assert_eq!(secret(&lab.broker(machine())).await, "token-3");
        assert_eq!(urls(&lab), [OIDC, TOKEN], "it is asked again soon");
    }
}

#[tokio::test]
async fn a_document_of_no_use_is_not_kept() {
    for (status, body) in of_no_use() {
        let lab = lab(OIDC);
        let said = body.clone();
        lab.answers(OIDC, move |_| (status, said.clone()));
        let error = token(&lab.broker(machine())).await.expect_err("no endpoint");
        assert!(error.hint().is_some(), "{status} {body}: {error}");
        lab.answers(OIDC, |_| (200, metadata()));
        assert_eq!(secret(&lab.broker(machine())).await, "token-1", "{status} {body}");
    }
}

#[tokio::test]
async fn another_issuer_s_word_ends_it() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(machine())).await, "token-1");
    lab.world.clock.advance(TimeDelta::hours(30));
    lab.answers(OIDC, |_| (200, json!({ "issuer": "https://other.example.org", "token_endpoint": TOKEN })));
    lab.calls();
    let error = token(&lab.broker(machine())).await.expect_err("another");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert_eq!(urls(&lab), [OIDC], "no secret is sent");
}

#[tokio::test]
async fn a_page_for_every_address_does_not_hide_the_other_place() {
    for said in [(200, json!("a page")), (302, json!("elsewhere")), (200, json!({ "token_endpoint": "x" }))] {
        let lab = lab(RFC8414);
        lab.answers(OIDC, move |_| said.clone());
        assert_eq!(secret(&lab.broker(machine())).await, "token-1");
        assert_eq!(urls(&lab), [OIDC, RFC8414, TOKEN]);
    }
    let lab = Lab::new();
    lab.answers(OIDC, |_| (200, json!("a page")));
    let error = token(&lab.broker(machine())).await.expect_err("neither");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.hint().unwrap().to_string().contains("is `issuer` right?"), "{error:?}");
}

#[tokio::test]
async fn force_asks_again_where_the_endpoints_are() {
    let lab = lab(OIDC);
    assert_eq!(secret(&lab.broker(machine())).await, "token-1");
    let moved = "https://login.example.org/new/token";
    lab.gives_tokens(moved, "moved");
    lab.answers(OIDC, move |_| (200, json!({ "issuer": ISSUER, "token_endpoint": moved })));
    lab.world.clock.advance(TimeDelta::minutes(5));
    lab.calls();
    let forced = TokenRequest::new().force();
    let token = lab.broker(machine()).token(World::NAME, &forced).await.expect("a token");
    assert_eq!(token.secret().expose(), "moved-1");
    assert_eq!(urls(&lab), [OIDC, moved]);
    // Also where it has nothing of use to say.
    lab.answers(OIDC, |_| (503, json!({})));
    lab.world.clock.advance(TimeDelta::minutes(5));
    let token = lab.broker(machine()).token(World::NAME, &forced).await.expect("a token");
    assert_eq!(token.secret().expose(), "moved-2");
}

const REVOKE: &str = "https://login.example.org/oauth/revoke";

fn person() -> Value {
    json!({ "flow": "refresh_token", "issuer": ISSUER, "client_id": "me" })
}

async fn logged_in() -> Lab {
    let lab = lab(OIDC);
    let login = Login::RefreshToken(Secret::new("refresh-0"));
    lab.broker(person()).login(World::NAME, login).await.expect("a login");
    lab.answers(REVOKE, |_| (200, json!({})));
    lab.calls();
    lab
}

fn with_revocation() -> Value {
    json!({ "issuer": ISSUER, "token_endpoint": TOKEN, "revocation_endpoint": REVOKE })
}

#[tokio::test]
async fn before_a_login_is_forgotten_unrevoked_the_issuer_is_asked() {
    let lab = logged_in().await;
    for said in
        [(503, json!({})), (400, json!({ "error": "maintenance" })), (200, json!({ "issuer": ISSUER }))]
    {
        lab.answers(OIDC, move |_| said.clone());
        lab.broker(person()).logout(World::NAME, false).await.expect_err("nobody knows");
        assert!(!lab.world.record().unwrap()["grant"].is_null(), "the login is kept");
    }
    lab.answers(OIDC, |_| (200, with_revocation()));
    lab.calls();
    let out = lab.broker(person()).logout(World::NAME, false).await.expect("a logout");
    assert!(out.at_service.revoked);
    assert_eq!(urls(&lab), [OIDC, REVOKE, REVOKE]);
}

#[tokio::test]
async fn a_logout_revokes_where_it_was_known_to_while_the_issuer_is_away() {
    let lab = lab(OIDC);
    lab.answers(OIDC, |_| (200, with_revocation()));
    lab.answers(REVOKE, |_| (200, json!({})));
    let login = Login::RefreshToken(Secret::new("refresh-0"));
    lab.broker(person()).login(World::NAME, login).await.expect("a login");
    lab.world.clock.advance(TimeDelta::hours(30));
    lab.answers(OIDC, |_| (200, json!({ "issuer": ISSUER })));
    lab.calls();
    let out = lab.broker(person()).logout(World::NAME, false).await.expect("a logout");
    assert!(out.at_service.revoked);
    assert_eq!(urls(&lab), [OIDC, REVOKE]);
}
