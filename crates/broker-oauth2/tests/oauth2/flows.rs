//! What the flows send, hold and say.

use broker_core::{ErrorKind, Login, Secret, TokenRequest};
use broker_testkit::{TestPerson, World};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{Lab, secret, token};

const TOKEN: &str = "https://login.example.org/oauth/token";
const DERIVED: &str = "https://data.example.org/oauth/token";

fn password() -> Value {
    json!({ "flow": "password", "token_url": TOKEN, "client_id": "me", "username": "ada", "password": "pw" })
}

fn held() -> Value {
    json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "scope": "read offline" })
}

async fn logged_in(table: Value) -> Lab {
    let lab = Lab::new();
    lab.gives_tokens(TOKEN, "token");
    let login = Login::RefreshToken(Secret::new("refresh-0"));
    lab.broker(table).login(World::NAME, login).await.expect("a login");
    lab.calls();
    lab
}

#[tokio::test]
async fn a_machine_asks_with_all_that_is_configured() {
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (200, json!({ "data": { "jwt": "nested", "ttl": "60" } })));
    let table = json!({
        "flow": "client_credentials", "token_url": TOKEN, "client_id": "me", "client_secret": "s3cret",
        "client_auth": "body", "audience": "https://api.example.org", "resource": "https://a.example https://b.example",
        "scope": ["b", "a"], "params": { "tenant": "t1", "n": 5 },
        "fields": { "access_token": "data.jwt", "expires_in": "data.ttl" },
    });
    let token = token(&lab.broker(table)).await.expect("a token");
    assert_eq!(token.secret().expose(), "nested");
    assert_eq!(token.expires_at(), Some(lab.now() + TimeDelta::seconds(60)));
    let mut form = lab.calls().remove(0).form;
    form.sort();
    let expected = [
        ("audience", "https://api.example.org"),
        ("client_id", "me"),
        ("client_secret", "s3cret"),
        ("grant_type", "client_credentials"),
        ("n", "5"),
        ("resource", "https://a.example"),
        ("resource", "https://b.example"),
        ("scope", "b a"),
        ("tenant", "t1"),
    ];
    assert_eq!(form, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_token_is_exchanged_for_another() {
    let lab = Lab::new();
    lab.gives_tokens(TOKEN, "first");
    // As services say of what is no access token.
    lab.answers(DERIVED, |_| {
        (200, json!({ "access_token": "derived-1", "token_type": "N_A", "expires_in": 60 }))
    });
    let base =
        json!({ "flow": "client_credentials", "token_url": TOKEN, "client_id": "me", "client_secret": "s" });
    let table = json!({ "from": "base", "token_url": DERIVED, "audience": "data" });
    let broker = lab.broker_of(vec![("base", base), (World::NAME, table)]);
    assert_eq!(secret(&broker).await, "derived-1");
    let calls = lab.calls();
    assert_eq!(calls.iter().map(|call| call.url.as_str()).collect::<Vec<_>>(), [TOKEN, DERIVED]);
    for (field, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", "first-1"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", "data"),
    ] {
        assert_eq!(calls[1].field(field), Some(value), "{field}");
    }
    let record = lab.world.record().unwrap();
    assert_eq!(record["issuer"]["flow"], "token_exchange from base");
    assert!(record["grant"].is_null(), "it is had again by the other's token");
    let held = token(&broker).await.expect("the held token");
    assert_eq!((held.secret().expose(), held.token_type()), ("derived-1", "Bearer"));
    assert!(lab.calls().is_empty());
}

#[tokio::test]
async fn without_the_other_s_login_that_one_is_named() {
    let lab = Lab::new();
    let table = json!({ "from": "base", "token_url": DERIVED });
    let broker = lab.broker_of(vec![("base", held()), (World::NAME, table)]);
    let error = token(&broker).await.expect_err("no login");
    assert_eq!((error.kind(), error.provider()), (ErrorKind::LoginRequired, Some("base")));
    assert!(error.hint().unwrap().contains("broker login base"), "{error:?}");
    let own = json!({ "from": World::NAME, "token_url": DERIVED });
    let error = token(&lab.broker(own)).await.expect_err("a circle");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

#[tokio::test]
async fn a_password_is_used_with_a_warning_and_then_the_refresh_token() {
    let lab = Lab::new();
    lab.gives_tokens(TOKEN, "token");
    let warnings = || lab.world.person.told().iter().filter(|told| told.contains("RFC 9700")).count();
    assert_eq!(secret(&lab.broker(password())).await, "token-1");
    assert_eq!(warnings(), 1);
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(password())).await, "token-2");
    let grants: Vec<_> =
        lab.calls().iter().map(|call| call.field("grant_type").unwrap().to_owned()).collect();
    assert_eq!(grants, ["password", "refresh_token"]);
    assert_eq!(warnings(), 1, "a refresh sends no password");
    assert_eq!(lab.world.record().unwrap()["account"], "ada");
    // The refresh token is over: the password at hand goes on.
    lab.answers(TOKEN, |call| match call.field("grant_type") {
        Some("password") => (200, json!({ "access_token": "again", "expires_in": 60 })),
        _ => (400, json!({ "error": "invalid_grant" })),
    });
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(password())).await, "again");
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_again_by_itself() {
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (400, json!({ "error": "invalid_grant", "error_description": "wrong" })));
    for tries in [1, 0] {
        let error = token(&lab.broker(password())).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert_eq!(lab.calls().len(), tries);
    }
    lab.gives_tokens(TOKEN, "token");
    lab.broker(password()).login(World::NAME, Login::Usual).await.expect("a person says so");
    // It is not the password that is refused here.
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (401, json!({ "error": "invalid_client" })));
    assert!(token(&lab.broker(password())).await.is_err());
    lab.gives_tokens(TOKEN, "token");
    assert_eq!(secret(&lab.broker(password())).await, "token-1");
}

#[tokio::test]
async fn a_password_is_asked_for_where_none_is_configured() {
    let mut lab = Lab::new();
    lab.world.person = TestPerson::default().answering("ada").answering("typed");
    lab.gives_tokens(TOKEN, "token");
    let table = json!({ "flow": "password", "token_url": TOKEN, "client_id": "me" });
    lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    let call = lab.calls().remove(0);
    assert_eq!((call.field("username"), call.field("password")), (Some("ada"), Some("typed")));
    let record = lab.world.record().unwrap().to_string();
    assert!(!record.contains("typed"), "never put into a record");
    lab.answers(TOKEN, |_| (400, json!({ "error": "invalid_grant" })));
    lab.world.clock.advance(TimeDelta::hours(2));
    let error = token(&lab.broker(table)).await.expect_err("nobody knows it any more");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error}");
}

#[tokio::test]
async fn scopes_are_kept_apart() {
    let lab = logged_in(held()).await;
    let broker = lab.broker(held());
    assert_eq!(secret(&broker).await, "token-1");
    let request = TokenRequest::new().scope("write");
    let chosen = broker.token(World::NAME, &request).await.expect("a token");
    assert_eq!(chosen.secret().expose(), "token-2");
    assert_eq!(lab.calls()[0].field("scope"), Some("write"));
    assert_eq!(secret(&broker).await, "token-1", "the usual one is still there");
}

#[tokio::test]
async fn another_configured_scope_makes_another_token_and_keeps_the_login() {
    let lab = logged_in(held()).await;
    assert_eq!(secret(&lab.broker(held())).await, "token-1");
    let mut narrower = held();
    narrower["scope"] = json!("read");
    assert_eq!(secret(&lab.broker(narrower.clone())).await, "token-2");
    let call = lab.calls().remove(0);
    assert_eq!((call.field("grant_type"), call.field("scope")), (Some("refresh_token"), Some("read")));
    assert_eq!(secret(&lab.broker(narrower)).await, "token-2");
    assert_eq!(secret(&lab.broker(held())).await, "token-3");
    assert_eq!(lab.calls()[0].field("scope"), None, "as the login was asked for");
}

#[tokio::test]
async fn what_refuses_the_client_does_not_end_the_login() {
    for (code, key) in [
        ("invalid_client", "`client_id`"),
        ("unauthorized_client", "`flow`"),
        ("invalid_scope", "`scope`"),
        ("invalid_target", "`resource`"),
    ] {
        let lab = logged_in(held()).await;
        lab.world.clock.advance(TimeDelta::hours(2));
        lab.answers(TOKEN, move |_| (400, json!({ "error": code })));
        let error = token(&lab.broker(held())).await.expect_err(code);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.hint().unwrap().contains(key), "{code}: {error:?} {:?}", error.hint());
        lab.gives_tokens(TOKEN, "after");
        assert_eq!(secret(&lab.broker(held())).await, "after-1", "{code}: the login is still there");
    }
}

#[tokio::test]
async fn a_refresh_token_in_a_broken_answer_is_the_login_now() {
    let mut table = held();
    table["fields"] = json!({ "access_token": "data.token", "refresh_token": "data.refresh" });
    let lab = Lab::new();
    let mut asked = 0;
    lab.answers(TOKEN, move |call| {
        asked += 1;
        assert_eq!(call.field("refresh_token"), Some(["r0", "r1"][asked - 1]));
        match asked {
            1 => (200, json!({ "data": { "refresh": "r1" } })),
            _ => (200, json!({ "data": { "refresh": "r2", "token": "t2" } })),
        }
    });
    lab.broker(table.clone()).login(World::NAME, Login::RefreshToken(Secret::new("r0"))).await.expect("kept");
    assert_eq!(secret(&lab.broker(table)).await, "t2");
}
