//! Tests of the token requests, records and errors of each flow.

use broker_core::{ErrorCode, Hint, Login, Secret, TokenRequest};
use broker_testkit::{TestPrompt, World};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{Lab, TOKEN, client_credentials, secret, token, with};

const DERIVED: &str = "https://data.example.org/oauth/token";

fn password() -> Value {
    json!({ "flow": "password", "token_url": TOKEN, "client_id": "me", "username": "ada", "password": "pw" })
}

fn refresh_token() -> Value {
    json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "scope": "read offline" })
}

#[tokio::test]
async fn client_credentials_request_has_configured_parameters() {
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (200, json!({ "data": { "jwt": "nested", "ttl": "60" } })));
    let settings = json!({
        "client_auth": "body", "audience": "https://api.example.org", "resource": "https://a.example https://b.example",
        "scope": ["b", "a"], "params": { "tenant": "t1", "n": 5 },
        "fields": { "access_token": "data.jwt", "expires_in": "data.ttl" },
    });
    let token = token(&lab.broker(with(client_credentials(), settings))).await.expect("a token");
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
async fn token_exchange_sends_token_of_provider_set_in_from() {
    let lab = Lab::new();
    lab.issues_tokens(TOKEN, "first");
    // `N_A` is the type of an issued token that is not an access token (RFC 8693 section 2.2.1).
    lab.answers(DERIVED, |_| {
        (200, json!({ "access_token": "derived-1", "token_type": "N_A", "expires_in": 60 }))
    });
    let table = json!({ "from": "base", "token_url": DERIVED, "audience": "data" });
    let broker = lab.broker_of(vec![("base", client_credentials()), (World::NAME, table)]);
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
    assert!(record["grant"].is_null(), "the next exchange needs no refresh token");
    let stored = token(&broker).await.expect("the stored token");
    assert_eq!((stored.secret().expose(), stored.token_type()), ("derived-1", "Bearer"));
    assert!(lab.calls().is_empty());
}

#[tokio::test]
async fn token_exchange_error_names_the_source_provider() {
    let lab = Lab::new();
    let table = json!({ "from": "base", "token_url": DERIVED });
    let broker = lab.broker_of(vec![("base", refresh_token()), (World::NAME, table)]);
    let error = token(&broker).await.expect_err("no login");
    assert_eq!((error.code(), error.provider()), (ErrorCode::LoginRequired, Some("base")));
    assert_eq!(error.hint(), Some(&Hint::LogInWithRefreshToken));
    let unknown = json!({ "from": "unknown", "token_url": DERIVED });
    let error = token(&lab.broker(unknown)).await.expect_err("no such provider");
    let expected = (ErrorCode::ConfigInvalidValue, Some(World::NAME));
    assert_eq!((error.code(), error.provider()), expected, "{error}");
    assert!(error.message().contains("`from`") && error.message().contains("unknown"), "{error}");
    let own = json!({ "from": World::NAME, "token_url": DERIVED });
    let error = token(&lab.broker(own)).await.expect_err("the provider exchanges its own token");
    assert_eq!(error.code(), ErrorCode::ConfigInvalid, "{error}");
}

#[tokio::test]
async fn password_flow_warns_of_rfc_9700_once_and_then_refreshes() {
    let lab = Lab::new();
    lab.issues_tokens(TOKEN, "token");
    let warnings = || lab.world.person.told().iter().filter(|notice| notice.contains("RFC 9700")).count();
    assert_eq!(secret(&lab.broker(password())).await, "token-1");
    assert_eq!(warnings(), 1);
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(password())).await, "token-2");
    let grants: Vec<_> =
        lab.calls().iter().map(|call| call.field("grant_type").unwrap().to_owned()).collect();
    assert_eq!(grants, ["password", "refresh_token"]);
    assert_eq!(warnings(), 1, "a refresh sends no password");
    assert_eq!(lab.world.record().unwrap()["account"], "ada");
    // If the refresh token is refused, the broker logs in again with the configured password.
    lab.answers(TOKEN, |call| match call.field("grant_type") {
        Some("password") => (200, json!({ "access_token": "again", "expires_in": 60 })),
        _ => (400, json!({ "error": "invalid_grant" })),
    });
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(password())).await, "again");
}

#[tokio::test]
async fn refused_password_is_not_sent_again() {
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (400, json!({ "error": "invalid_grant", "error_description": "wrong" })));
    for tries in [1, 0] {
        let error = token(&lab.broker(password())).await.expect_err("refused");
        assert_eq!(error.code(), ErrorCode::PasswordRefused, "{error}");
        assert_eq!(error.hint(), Some(&Hint::CorrectPassword));
        assert_eq!(lab.calls().len(), tries);
    }
    lab.issues_tokens(TOKEN, "token");
    lab.broker(password()).login(World::NAME, Login::Usual).await.expect("an explicit login");
    // The service wants to be asked later.
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (401, json!({ "error": "slow_down" })));
    let error = token(&lab.broker(password())).await.expect_err("asked too often");
    assert_eq!(error.code(), ErrorCode::ServiceUnavailable, "{error}");
    // `invalid_client` refuses the client, not the password, so the next call sends the password again.
    let lab = Lab::new();
    lab.answers(TOKEN, |_| (401, json!({ "error": "invalid_client" })));
    assert!(token(&lab.broker(password())).await.is_err());
    lab.issues_tokens(TOKEN, "token");
    assert_eq!(secret(&lab.broker(password())).await, "token-1");
}

#[tokio::test]
async fn user_is_asked_for_the_password_if_none_is_configured() {
    let mut lab = Lab::new();
    lab.world.person = TestPrompt::default().answering("ada").answering("typed");
    lab.issues_tokens(TOKEN, "token");
    let table = json!({ "flow": "password", "token_url": TOKEN, "client_id": "me" });
    lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    let call = lab.calls().remove(0);
    assert_eq!((call.field("username"), call.field("password")), (Some("ada"), Some("typed")));
    let record = lab.world.record().unwrap().to_string();
    assert!(!record.contains("typed"), "the password is not stored");
    lab.answers(TOKEN, |_| (400, json!({ "error": "invalid_grant" })));
    lab.world.clock.advance(TimeDelta::hours(2));
    let error = token(&lab.broker(table)).await.expect_err("no password");
    assert_eq!(error.code(), ErrorCode::GrantRefused, "{error}");
}

#[tokio::test]
async fn token_for_requested_scope_does_not_replace_default_token() {
    let table = with(refresh_token(), json!({ "audience": "https://api.example.org" }));
    let lab = Lab::logged_in(TOKEN, table.clone()).await;
    lab.world.clock.advance(TimeDelta::hours(2));
    let broker = lab.broker(table);
    assert_eq!(secret(&broker).await, "token-2");
    let request = TokenRequest::new().scope("write");
    let token = broker.token(World::NAME, &request).await.expect("a token");
    assert_eq!(token.secret().expose(), "token-3");
    for (call, scope) in lab.calls().iter().zip(["read offline", "write"]) {
        let sent = (call.field("scope"), call.field("audience"));
        assert_eq!(sent, (Some(scope), Some("https://api.example.org")));
    }
    assert_eq!(secret(&broker).await, "token-2", "the default token stays");
}

#[tokio::test]
async fn changed_scope_setting_refreshes_token_without_login() {
    let lab = Lab::new();
    lab.issues_tokens(TOKEN, "token");
    let wide = with(password(), json!({ "scope": "read offline" }));
    assert_eq!(secret(&lab.broker(wide.clone())).await, "token-1");
    lab.calls();
    let narrow = with(password(), json!({ "scope": "read" }));
    assert_eq!(secret(&lab.broker(narrow.clone())).await, "token-2");
    let call = lab.calls().remove(0);
    assert_eq!((call.field("grant_type"), call.field("scope")), (Some("refresh_token"), Some("read")));
    assert_eq!(secret(&lab.broker(narrow)).await, "token-2");
    assert_eq!(secret(&lab.broker(wide)).await, "token-3");
    assert_eq!(lab.calls()[0].field("scope"), None, "the service uses the scope of the login");
}

#[tokio::test]
async fn errors_except_invalid_grant_keep_the_stored_login() {
    for (name, code, key) in [
        ("invalid_client", ErrorCode::ClientRefused, "`client_id`"),
        ("unauthorized_client", ErrorCode::RequestRefused, "`flow`"),
        ("invalid_scope", ErrorCode::RequestRefused, "`scope`"),
        ("invalid_target", ErrorCode::RequestRefused, "`resource`"),
    ] {
        let lab = Lab::logged_in(TOKEN, refresh_token()).await;
        lab.world.clock.advance(TimeDelta::hours(2));
        lab.answers(TOKEN, move |_| (400, json!({ "error": name })));
        let error = token(&lab.broker(refresh_token())).await.expect_err(name);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.hint().unwrap().to_string().contains(key), "{name}: {error:?}");
        lab.issues_tokens(TOKEN, "after");
        assert_eq!(secret(&lab.broker(refresh_token())).await, "after-1", "{name}: the login stays");
    }
}

#[tokio::test]
async fn refresh_token_is_saved_if_response_lacks_access_token() {
    let fields = json!({ "access_token": "data.token", "refresh_token": "data.refresh" });
    let table = with(refresh_token(), json!({ "fields": fields }));
    let lab = Lab::new();
    let mut calls = 0;
    lab.answers(TOKEN, move |call| {
        calls += 1;
        assert_eq!(call.field("refresh_token"), Some(["r0", "r1"][calls - 1]));
        match calls {
            1 => (200, json!({ "data": { "refresh": "r1" } })),
            _ => (200, json!({ "data": { "refresh": "r2", "token": "t2" } })),
        }
    });
    let login = Login::RefreshToken(Secret::new("r0"));
    lab.broker(table.clone()).login(World::NAME, login).await.expect("a saved refresh token");
    assert_eq!(secret(&lab.broker(table)).await, "t2");
}

#[tokio::test]
async fn changed_params_setting_renews_token_and_keeps_login() {
    let lab = Lab::logged_in(TOKEN, refresh_token()).await;
    let write = TokenRequest::new().scope("write");
    assert_eq!(secret(&lab.broker(refresh_token())).await, "token-1");
    let token = lab.broker(refresh_token()).token(World::NAME, &write).await.expect("a token");
    assert_eq!(token.secret().expose(), "token-2");
    let other = with(refresh_token(), json!({ "params": { "tenant": "KANARIE" } }));
    assert_eq!(secret(&lab.broker(other.clone())).await, "token-3");
    let token = lab.broker(other.clone()).token(World::NAME, &write).await.expect("a token");
    assert_eq!(token.secret().expose(), "token-4", "the token for the requested scope is also replaced");
    assert_eq!(secret(&lab.broker(other.clone())).await, "token-3", "the new token is stored");
    let calls = lab.calls();
    assert!(calls.iter().all(|call| call.field("grant_type") == Some("refresh_token")), "{calls:?}");
    assert_eq!(calls.last().unwrap().field("tenant"), Some("KANARIE"));
    assert!(!lab.world.record().unwrap().to_string().contains("KANARIE"), "a parameter may be a secret");
    let other = with(other, json!({ "fields": { "access_token": "id" } }));
    lab.answers(TOKEN, |_| (200, json!({ "access_token": "a", "id": "b" })));
    assert_eq!(secret(&lab.broker(other)).await, "b");
    lab.issues_tokens(DERIVED, "derived");
    for (kind, expected) in [("urn:a", "derived-1"), ("urn:a", "derived-1"), ("urn:b", "derived-2")] {
        let table = json!({ "from": "base", "token_url": DERIVED, "requested_token_type": kind });
        let broker = lab.broker_of(vec![("base", client_credentials()), (World::NAME, table)]);
        assert_eq!(secret(&broker).await, expected);
    }
}

#[tokio::test]
async fn missing_token_error_names_the_configured_json_path() {
    let lab = Lab::logged_in(TOKEN, refresh_token()).await;
    lab.answers(TOKEN, |_| (200, json!({ "access_token": "there", "expires_in": 60 })));
    let table = with(refresh_token(), json!({ "fields": { "access_token": "data.token" } }));
    let error = token(&lab.broker(table)).await.expect_err("no token");
    assert_eq!(error.code(), ErrorCode::BadResponse, "{error}");
    assert!(error.message().contains("`data.token` (`fields.access_token`"), "{error}");
}

#[tokio::test]
async fn user_is_asked_for_password_if_its_variable_is_unset() {
    let mut lab = Lab::new();
    lab.issues_tokens(TOKEN, "token");
    let table = with(password(), json!({ "password": { "env": "LAB_PASSWORD" } }));
    let error = lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect_err("no terminal");
    assert_eq!(error.code(), ErrorCode::PromptUnavailable, "{error}");
    assert!(error.hint().unwrap().to_string().contains("LAB_PASSWORD"), "{error:?}");
    lab.world.person = TestPrompt::default().answering("typed");
    lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    assert_eq!(lab.calls().remove(0).field("password"), Some("typed"));
    // An unreadable password file is an error, and the user is not asked.
    let table = with(table, json!({ "password": { "file": "/nowhere/at/all" } }));
    let error = lab.broker(table).login(World::NAME, Login::Usual).await.expect_err("no file");
    assert_eq!(error.code(), ErrorCode::SecretUnreadable, "{error}");
}

#[tokio::test]
async fn new_login_to_source_provider_replaces_exchanged_token() {
    let lab = Lab::new();
    lab.issues_tokens(TOKEN, "first");
    lab.issues_tokens(DERIVED, "derived");
    let broker = || {
        let table = json!({ "from": "base", "token_url": DERIVED });
        lab.broker_of(vec![("base", refresh_token()), (World::NAME, table)])
    };
    let login = |refresh_token: &'static str| async move {
        let login = Login::RefreshToken(Secret::new(refresh_token));
        broker().login("base", login).await.expect("the login succeeds");
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
async fn exchanged_token_is_replaced_if_source_account_changes() {
    let lab = Lab::new();
    lab.issues_tokens(DERIVED, "derived");
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
    // The response to the refresh names another account than the login.
    lab.answers(TOKEN, |_| {
        let ben = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJiZW4ifQ.";
        (200, json!({ "access_token": ben, "id_token": ben, "expires_in": 3600 }))
    });
    for expected in ["derived-1", "derived-2", "derived-2"] {
        assert_eq!(secret(&broker()).await, expected);
    }
}
