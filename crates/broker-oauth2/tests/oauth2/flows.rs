//! What the flows send, hold and say.

use broker_core::{ErrorKind, Login, Secret, TokenRequest};
use broker_testkit::{TestPrompt, World};
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
    assert!(error.hint().unwrap().to_string().contains("broker login base"), "{error:?}");
    let nobody = json!({ "from": "nobody", "token_url": DERIVED });
    let error = token(&lab.broker(nobody)).await.expect_err("no such provider");
    assert_eq!((error.kind(), error.provider()), (ErrorKind::Configuration, Some(World::NAME)), "{error}");
    assert!(error.message().contains("`from`") && error.message().contains("`nobody`"), "{error}");
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
    lab.world.person = TestPrompt::default().answering("ada").answering("typed");
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
    let lab = Lab::logged_in(TOKEN, held()).await;
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
    let lab = Lab::new();
    lab.gives_tokens(TOKEN, "token");
    let mut usual = password();
    usual["scope"] = json!("read offline");
    assert_eq!(secret(&lab.broker(usual.clone())).await, "token-1");
    lab.calls();
    let mut narrower = usual.clone();
    narrower["scope"] = json!("read");
    assert_eq!(secret(&lab.broker(narrower.clone())).await, "token-2");
    let call = lab.calls().remove(0);
    assert_eq!((call.field("grant_type"), call.field("scope")), (Some("refresh_token"), Some("read")));
    assert_eq!(secret(&lab.broker(narrower)).await, "token-2");
    assert_eq!(secret(&lab.broker(usual)).await, "token-3");
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
        let lab = Lab::logged_in(TOKEN, held()).await;
        lab.world.clock.advance(TimeDelta::hours(2));
        lab.answers(TOKEN, move |_| (400, json!({ "error": code })));
        let error = token(&lab.broker(held())).await.expect_err(code);
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.hint().unwrap().to_string().contains(key), "{code}: {error:?} {:?}", error.hint());
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

#[tokio::test]
async fn what_is_asked_for_otherwise_is_another_token_of_the_same_login() {
    let lab = Lab::logged_in(TOKEN, held()).await;
    let chosen = TokenRequest::new().scope("write");
    assert_eq!(secret(&lab.broker(held())).await, "token-1");
    let token = lab.broker(held()).token(World::NAME, &chosen).await.expect("a token");
    assert_eq!(token.secret().expose(), "token-2");
    let mut other = held();
    other["params"] = json!({ "tenant": "KANARIE" });
    assert_eq!(secret(&lab.broker(other.clone())).await, "token-3");
    let token = lab.broker(other.clone()).token(World::NAME, &chosen).await.expect("a token");
    assert_eq!(token.secret().expose(), "token-4", "of a scope that is asked for too");
    assert_eq!(secret(&lab.broker(other.clone())).await, "token-3", "and then it is held");
    let calls = lab.calls();
    assert!(calls.iter().all(|call| call.field("grant_type") == Some("refresh_token")), "{calls:?}");
    assert_eq!(calls.last().unwrap().field("tenant"), Some("KANARIE"));
    assert!(!lab.world.record().unwrap().to_string().contains("KANARIE"), "people put secrets anywhere");
    other["fields"] = json!({ "access_token": "id" });
    lab.answers(TOKEN, |_| (200, json!({ "access_token": "a", "id": "b" })));
    assert_eq!(secret(&lab.broker(other)).await, "b");
    let exchanged =
        |kind: &str| json!({ "from": "base", "token_url": DERIVED, "requested_token_type": kind });
    lab.gives_tokens(DERIVED, "derived");
    for (kind, given) in [("urn:a", "derived-1"), ("urn:a", "derived-1"), ("urn:b", "derived-2")] {
        let base = json!({ "flow": "client_credentials", "token_url": TOKEN, "client_id": "m", "client_secret": "s" });
        assert_eq!(secret(&lab.broker_of(vec![("base", base), (World::NAME, exchanged(kind))])).await, given);
    }
}

#[tokio::test]
async fn a_login_from_elsewhere_is_asked_for_what_is_configured() {
    let mut table = held();
    table["audience"] = json!("https://api.example.org");
    let lab = Lab::logged_in(TOKEN, table.clone()).await;
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(table.clone())).await, "token-2");
    let chosen = TokenRequest::new().scope("write");
    lab.broker(table).token(World::NAME, &chosen).await.expect("a token");
    for (call, scope) in lab.calls().iter().zip(["read offline", "write"]) {
        assert_eq!(
            (call.field("scope"), call.field("audience")),
            (Some(scope), Some("https://api.example.org"))
        );
    }
}

#[tokio::test]
async fn an_answer_without_a_token_says_where_it_was_sought() {
    let lab = Lab::logged_in(TOKEN, held()).await;
    lab.answers(TOKEN, |_| (200, json!({ "access_token": "there", "expires_in": 60 })));
    let mut table = held();
    table["fields"] = json!({ "access_token": "data.token" });
    let error = token(&lab.broker(table)).await.expect_err("not there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("`data.token` (`fields.access_token`"), "{error}");
}

#[tokio::test]
async fn a_person_is_asked_for_a_password_whose_variable_is_not_set() {
    let mut lab = Lab::new();
    lab.gives_tokens(TOKEN, "token");
    let mut table = password();
    table["password"] = json!({ "env": "LAB_PASSWORD" });
    let error = lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error}");
    let hint = error.hint().unwrap();
    assert!(
        hint.to_string().contains("LAB_PASSWORD") && hint.to_string().contains("--password-stdin"),
        "{hint}"
    );
    lab.world.person = TestPrompt::default().answering("typed");
    lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    assert_eq!(lab.calls().remove(0).field("password"), Some("typed"));
    // What is there and cannot be read is an error all the same.
    table["password"] = json!({ "file": "/nowhere/at/all" });
    let error = lab.broker(table).login(World::NAME, Login::Usual).await.expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
}

#[tokio::test]
async fn a_code_that_is_over_as_it_comes_is_the_service_s_fault() {
    let lab = Lab::new();
    let device = "https://login.example.org/device";
    lab.answers(device, |_| {
        (200, json!({ "device_code": "d", "user_code": "u", "verification_uri": "https://x.example", "expires_in": -3 }))
    });
    let table = json!({ "flow": "device", "token_url": TOKEN, "device_url": device, "client_id": "me" });
    let error = lab.broker(table).login(World::NAME, Login::Usual).await.expect_err("over");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.message().contains("`expires_in`"), "{error}");
}

#[tokio::test]
async fn an_exchanged_token_is_only_used_for_the_login_that_it_was_exchanged_for() {
    let lab = Lab::new();
    lab.gives_tokens(TOKEN, "first");
    lab.gives_tokens(DERIVED, "derived");
    let broker = || {
        let table = json!({ "from": "base", "token_url": DERIVED });
        lab.broker_of(vec![("base", held()), (World::NAME, table)])
    };
    let login = |of: &'static str| async move {
        let login = Login::RefreshToken(Secret::new(of));
        broker().login("base", login).await.expect("a login, of nobody knows whom");
    };
    login("ada's").await;
    broker().login(World::NAME, Login::Usual).await.expect("the exchange works");
    assert_eq!(secret(&broker()).await, "derived-1");
    login("ben's").await;
    assert_eq!(secret(&broker()).await, "derived-2");
    lab.world.clock.advance(TimeDelta::minutes(5));
    broker().token("base", &TokenRequest::new().force()).await.expect("a token");
    assert_eq!(secret(&broker()).await, "derived-2", "a renewal is the same login");
}

#[tokio::test]
async fn a_token_that_was_exchanged_while_the_login_changed_is_nobody_s() {
    let lab = Lab::new();
    lab.gives_tokens(DERIVED, "derived");
    lab.answers(TOKEN, |_| {
        (200, json!({ "access_token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.", "expires_in": 3600, "refresh_token": "r" }))
    });
    let broker = || {
        let base = json!({ "flow": "device", "token_url": TOKEN, "device_url": TOKEN, "client_id": "me" });
        let table = json!({ "from": "base", "token_url": DERIVED });
        lab.broker_of(vec![("base", base), (World::NAME, table)])
    };
    broker().login("base", Login::RefreshToken(Secret::new("r0"))).await.expect("a login");
    lab.world.clock.advance(TimeDelta::hours(2));
    // The answer to the refresh says that the login is somebody else's.
    lab.answers(TOKEN, |_| {
        let ben = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJiZW4ifQ.";
        (200, json!({ "access_token": ben, "id_token": ben, "expires_in": 3600 }))
    });
    for given in ["derived-1", "derived-2", "derived-2"] {
        assert_eq!(secret(&broker()).await, given);
    }
}
