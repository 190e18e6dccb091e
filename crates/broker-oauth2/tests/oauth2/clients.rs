//! Tests of client authentication: spellings of HTTP Basic, methods of the issuer's metadata, PKCE of device logins.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use broker_core::{ErrorCode, Login, Secret, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::lab::{Call, Lab, TOKEN, secret, token, with};

const ISSUER: &str = "https://login.example.org";
const METADATA: &str = "https://login.example.org/.well-known/openid-configuration";
const REVOKE: &str = "https://login.example.org/revoke";
const DEVICE: &str = "https://login.example.org/device";

fn client(secret: &str) -> Value {
    json!({ "flow": "client_credentials", "token_url": TOKEN, "client_id": "me", "client_secret": secret })
}

fn login(flow: &str) -> Value {
    json!({ "flow": flow, "token_url": TOKEN, "client_id": "me", "client_secret": "a/b" })
}

/// Returns the decoded credentials of HTTP Basic.
fn basic(call: &Call) -> Vec<u8> {
    let header = call.authorization.as_deref().expect("an authorization");
    STANDARD.decode(header.strip_prefix("Basic ").expect("HTTP Basic")).expect("base64")
}

/// Adds a token endpoint that accepts only these credentials in HTTP Basic, and refuses others with `refusal`.
fn accepts(lab: &Lab, credentials: &'static [u8], refusal: (u16, Value)) {
    let mut issued = 0;
    lab.answers(TOKEN, move |call| {
        if basic(call) != credentials {
            return refusal.clone();
        }
        issued += 1;
        let refresh = format!("refresh-{issued}");
        (200, json!({ "access_token": format!("token-{issued}"), "expires_in": 3600, "refresh_token": refresh }))
    });
}

fn invalid_client() -> (u16, Value) {
    (401, json!({ "error": "invalid_client" }))
}

/// Returns the response of Cloud Foundry's UAA.
fn bad_credentials() -> (u16, Value) {
    (401, json!({ "error": "unauthorized", "error_description": "Bad credentials" }))
}

/// A configured secret, the credentials that the service accepts, its refusal of others, and the number of requests.
type BasicCase<'a> = (&'a str, &'static [u8], (u16, Value), usize);

#[tokio::test]
async fn basic_credentials_are_sent_in_the_spelling_that_works() {
    let unauthorized = (401, json!({ "message": "Unauthorized" }));
    let cases: [BasicCase<'_>; 10] = [
        ("plain-1.2_*", b"me:plain-1.2_*", invalid_client(), 1),
        ("ab/cd+ef==", b"me:ab%2Fcd%2Bef%3D%3D", invalid_client(), 1),
        ("ab/cd+ef==", b"me:ab/cd+ef==", invalid_client(), 2),
        ("p:q~ r%", b"me:p:q~ r%", (400, json!({ "error": "invalid_client" })), 2),
        ("ab/cd", b"me:ab/cd", unauthorized, 2),
        ("ab/cd", b"me:ab/cd", (401, Value::Null), 2),
        ("ab/cd", b"me:ab/cd", (401, json!({ "error": "unauthorized_client" })), 2),
        ("caf\u{e9}", b"me:caf\xe9", invalid_client(), 2),
        ("caf\u{e9}", b"me:caf\xc3\xa9", invalid_client(), 3),
        ("\u{20ac}", b"me:\xe2\x82\xac", invalid_client(), 2),
    ];
    for (configured, credentials, refusal, requests) in cases {
        let lab = Lab::new();
        accepts(&lab, credentials, refusal);
        assert_eq!(secret(&lab.broker(client(configured))).await, "token-1", "{configured}");
        assert_eq!(lab.calls().len(), requests, "{configured}");
        lab.world.clock.advance(TimeDelta::hours(2));
        assert_eq!(secret(&lab.broker(client(configured))).await, "token-2", "{configured}");
        assert_eq!(lab.calls().len(), 1, "{configured}: the record names the spelling");
    }
}

#[tokio::test]
async fn spelling_changes_when_the_service_changes_it() {
    let lab = Lab::new();
    for credentials in [b"me:a/b" as &[u8], b"me:a%2Fb", b"me:a/b"] {
        accepts(&lab, credentials, invalid_client());
        assert_eq!(secret(&lab.broker(client("a/b"))).await, "token-1");
        lab.world.clock.advance(TimeDelta::hours(2));
    }
}

#[tokio::test]
async fn client_refused_in_all_spellings_gets_the_first_error() {
    for (secret, requests, hint) in [("a/b", 2, "`client_auth = \"body\"`"), ("ab", 1, "`client_auth`")] {
        let lab = Lab::new();
        let mut refused = 0;
        lab.answers(TOKEN, move |_| {
            refused += 1;
            (401, json!({ "error": "invalid_client", "error_description": format!("try {refused}") }))
        });
        let error = token(&lab.broker(client(secret))).await.expect_err("a refused client");
        assert_eq!(error.code(), ErrorCode::ClientRefused, "{error}");
        assert!(error.message().contains("try 1"), "{error}");
        assert!(error.hint().unwrap().to_string().contains(hint), "{error:?}");
        assert_eq!(lab.calls().len(), requests);
        let broker = lab.broker(with(client(secret), json!({ "client_auth": "body" })));
        let _ = token(&broker).await.expect_err("a refused client");
        assert!(lab.calls().iter().all(|call| call.authorization.is_none()), "the hint can be followed");
    }
}

#[tokio::test]
async fn grant_is_sent_again_only_after_a_refused_client() {
    for (refusal, requests) in [
        (invalid_client(), 2),
        ((401, json!({ "error": "unauthorized_client" })), 2),
        (bad_credentials(), 2),
        ((401, json!({ "error": "unauthorized" })), 1),
        ((400, bad_credentials().1), 1),
        ((401, json!({ "error": "invalid_scope" })), 1),
        ((401, Value::Null), 1),
        ((400, json!({ "error": "invalid_request" })), 1),
    ] {
        let lab = Lab::new();
        accepts(&lab, b"me:a%2Fb", invalid_client());
        let broker = lab.broker(login("refresh_token"));
        broker.login(World::NAME, Login::RefreshToken(Secret::new("refresh-0"))).await.expect("a login");
        lab.calls();
        lab.world.clock.advance(TimeDelta::hours(2));
        accepts(&lab, b"me:a/b", refusal.clone());
        let _ = token(&lab.broker(login("refresh_token"))).await;
        assert_eq!(lab.calls().len(), requests, "{refusal:?}");
        assert_eq!(lab.world.record().unwrap()["grant"]["refused_at"], Value::Null);
    }
}

#[tokio::test]
async fn bad_credentials_concern_the_client_except_with_a_password() {
    let password = with(login("password"), json!({ "username": "ada", "password": "pw" }));
    for (table, requests, code) in [
        (client("a/b"), 2, ErrorCode::ClientRefused),
        (login("refresh_token"), 2, ErrorCode::ClientRefused),
        (password, 1, ErrorCode::ServiceUnavailable),
    ] {
        let lab = Lab::new();
        lab.answers(TOKEN, |_| bad_credentials());
        let broker = lab.broker(table.clone());
        let login = Login::RefreshToken(Secret::new("refresh-0"));
        let error = match table["flow"].as_str() {
            Some("refresh_token") => broker.login(World::NAME, login).await.expect_err("refused"),
            _ => token(&broker).await.expect_err("refused"),
        };
        assert_eq!(error.code(), code, "{table}: {error}");
        assert_eq!(lab.calls().len(), requests, "{table}");
    }
}

#[tokio::test]
async fn logout_uses_the_spelling_of_the_record() {
    let lab = Lab::new();
    accepts(&lab, b"me:a/b", invalid_client());
    lab.answers(REVOKE, |_| (200, json!({})));
    let table = with(login("refresh_token"), json!({ "revocation_url": REVOKE }));
    let broker = lab.broker(table);
    broker.login(World::NAME, Login::RefreshToken(Secret::new("refresh-0"))).await.expect("a login");
    lab.calls();
    broker.logout(World::NAME).await.expect("a logout");
    let calls = lab.calls();
    assert!(!calls.is_empty() && calls.iter().all(|call| basic(call) == b"me:a/b"), "{calls:?}");
}

/// Returns how a client with a secret authenticates at a service that publishes these methods.
async fn method(metadata: Value, keys: Value) -> Result<(bool, bool), ErrorCode> {
    let lab = Lab::new();
    let metadata = with(json!({ "issuer": ISSUER, "token_endpoint": TOKEN }), metadata);
    lab.answers(METADATA, move |_| (200, metadata.clone()));
    lab.issues_tokens(TOKEN, "token");
    let table =
        json!({ "flow": "client_credentials", "issuer": ISSUER, "client_id": "me", "client_secret": "s" });
    token(&lab.broker(with(table, keys))).await.map_err(|error| error.code())?;
    let call = lab.calls().pop().expect("a token request");
    Ok((call.authorization.is_some(), call.field("client_secret").is_some()))
}

#[tokio::test]
async fn client_auth_is_read_from_the_issuers_metadata() {
    let (header, body, error) = (Ok((true, false)), Ok((false, true)), Err(ErrorCode::ConfigInvalidValue));
    for (methods, expected) in [
        (json!(["client_secret_post"]), body),
        (json!(["client_secret_jwt", "client_secret_post", "private_key_jwt"]), body),
        (json!(["client_secret_post", "client_secret_basic"]), header),
        (json!(["client_secret_basic"]), header),
        (json!([]), header),
        (Value::Null, header),
        (json!("client_secret_post"), body),
        (json!("client_secret_jwt, client_secret_post"), body),
        (json!("client_secret_post client_secret_basic"), header),
        (json!([1, null, "client_secret_post"]), body),
        (json!(["private_key_jwt"]), error),
        (json!(["client_secret_jwt"]), error),
        (json!(["tls_client_auth", "self_signed_tls_client_auth"]), error),
        (json!(["none"]), error),
    ] {
        let metadata = json!({ "token_endpoint_auth_methods_supported": methods });
        assert_eq!(method(metadata.clone(), json!({})).await, expected, "{metadata}");
        let set = |auth: &str| method(metadata.clone(), json!({ "client_auth": auth }));
        assert_eq!((set("basic").await, set("body").await), (header, body), "the setting wins: {metadata}");
    }
}

#[tokio::test]
async fn public_client_ignores_the_published_auth_methods() {
    let lab = Lab::new();
    lab.answers(METADATA, |_| {
        let methods = json!(["client_secret_basic"]);
        (200, json!({ "issuer": ISSUER, "token_endpoint": TOKEN, "token_endpoint_auth_methods_supported": methods }))
    });
    lab.issues_tokens(TOKEN, "token");
    let broker = lab.broker(json!({ "flow": "refresh_token", "issuer": ISSUER, "client_id": "me" }));
    broker.login(World::NAME, Login::RefreshToken(Secret::new("r"))).await.expect("a login");
    let call = lab.calls().pop().unwrap();
    assert_eq!((call.field("client_id"), &call.authorization), (Some("me"), &None));
}

#[tokio::test]
async fn revocation_endpoint_has_its_own_auth_methods() {
    for (own, in_header) in
        [(json!(["client_secret_basic"]), true), (Value::Null, false), (json!(["none"]), false)]
    {
        let lab = Lab::new();
        let metadata = json!({
            "issuer": ISSUER, "token_endpoint": TOKEN, "revocation_endpoint": REVOKE,
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "revocation_endpoint_auth_methods_supported": own,
        });
        lab.answers(METADATA, move |_| (200, metadata.clone()));
        lab.issues_tokens(TOKEN, "token");
        lab.answers(REVOKE, |_| (200, json!({})));
        let table = json!({ "flow": "client_credentials", "issuer": ISSUER, "client_id": "me", "client_secret": "s" });
        let broker = lab.broker(table);
        secret(&broker).await;
        lab.calls();
        broker.logout(World::NAME).await.expect("a logout");
        assert!(lab.calls().iter().all(|call| call.authorization.is_some() == in_header), "{own}");
    }
}

#[tokio::test]
async fn stored_metadata_without_auth_methods_stays_valid() {
    let lab = Lab::new();
    lab.answers(METADATA, |_| (200, json!({ "issuer": ISSUER, "token_endpoint": TOKEN })));
    lab.issues_tokens(TOKEN, "token");
    let table =
        json!({ "flow": "client_credentials", "issuer": ISSUER, "client_id": "me", "client_secret": "s" });
    secret(&lab.broker(table.clone())).await;
    let mut record = lab.world.record().unwrap();
    let stored = record["kept"]["discovery"].as_object_mut().expect("the metadata");
    stored.retain(|key, _| !key.ends_with("_auth_methods"));
    std::fs::write(lab.world.record_path(), record.to_string()).unwrap();
    lab.calls();
    lab.world.clock.advance(TimeDelta::hours(2));
    assert_eq!(secret(&lab.broker(table)).await, "token-2");
    assert_eq!(lab.calls().len(), 1, "no discovery");
}

fn device(keys: Value) -> Value {
    with(json!({ "flow": "device", "token_url": TOKEN, "device_url": DEVICE, "client_id": "me" }), keys)
}

fn device_code(uri: &str, complete: &Value) -> Value {
    json!({
        "device_code": "d", "user_code": "ABCD", "verification_uri": uri, "verification_uri_complete": complete,
        "expires_in": 60, "interval": 1,
    })
}

#[tokio::test]
async fn device_login_proves_its_pkce_challenge() {
    for (keys, with_pkce) in
        [(json!({}), true), (json!({ "pkce": true }), true), (json!({ "pkce": false }), false)]
    {
        let lab = Lab::new();
        lab.answers(DEVICE, |_| (200, device_code("https://login.example.org/activate", &Value::Null)));
        let mut polls = 0;
        lab.answers(TOKEN, move |_| {
            polls += 1;
            match polls {
                1 => (400, json!({ "error": "authorization_pending" })),
                _ => (200, json!({ "access_token": "token", "refresh_token": "r", "expires_in": 60 })),
            }
        });
        lab.broker(device(keys)).login(World::NAME, Login::Usual).await.expect("a login");
        let calls = lab.calls();
        let challenge = calls[0].field("code_challenge");
        assert_eq!((challenge.is_some(), calls.len()), (with_pkce, 3));
        assert_eq!(calls[0].field("code_challenge_method"), challenge.map(|_| "S256"));
        for poll in &calls[1..] {
            let hash = |verifier: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
            assert_eq!(poll.field("code_verifier").map(hash).as_deref(), challenge);
        }
        assert!(calls.iter().all(|call| call.field("code_verifier").is_none() || call.url == TOKEN));
    }
}

#[tokio::test]
async fn hint_for_refused_pkce_can_be_followed() {
    let lab = Lab::new();
    lab.answers(DEVICE, |call| match call.field("code_challenge") {
        Some(_) => (400, json!({ "error": "invalid_request", "error_description": "unknown parameter" })),
        None => (200, device_code("https://login.example.org/activate", &Value::Null)),
    });
    lab.issues_tokens(TOKEN, "token");
    let log_in = async |keys| lab.broker(device(keys)).login(World::NAME, Login::Usual).await;
    let error = log_in(json!({})).await.expect_err("an unknown parameter");
    assert!(error.hint().unwrap().to_string().contains("`pkce = false`"), "{error:?}");
    log_in(json!({ "pkce": false })).await.expect("a login");
}

#[tokio::test]
async fn login_page_that_is_no_web_page_is_refused() {
    let page = "https://login.example.org/activate";
    for other in [
        "javascript:alert(1)", " JavaScript:alert(1)", "java\nscript:alert(1)", "\u{1}javascript:alert(1)",
        "file:///etc/passwd", "data:text/html,hello", "vbscript:x", "ssh://host.example",
        "https:host.example", "mailto:a@b.example", "x-app://open", "/activate", "///activate",
        "//user@host.example/activate", "https:///activate", "https://?code",
        "https://user:word@host.example/", "user@host.example/activate", "http://[host/",
        "https://exa mple/", "https://login.\texample/", "https://-login.example/", "https://.example/",
        "//evil/activate", "evil/activate", "./activate", "--help", "-oProxyCommand=x", "-login.example.org",
    ] {
        for (uri, complete) in [(other, Value::Null), (page, json!(other)), (other, json!(page))] {
            let lab = Lab::new();
            let answer = device_code(uri, &complete);
            lab.answers(DEVICE, move |_| (200, answer.clone()));
            let broker = lab.broker(device(json!({})));
            let error = broker.login(World::NAME, Login::Usual).await.expect_err("no web page");
            assert_eq!(error.code(), ErrorCode::BadResponse, "{other}: {error}");
            assert!(lab.world.person.told().is_empty(), "{other}: nothing is shown");
        }
    }
}

#[tokio::test]
async fn login_page_on_http_or_without_scheme_is_shown() {
    for uri in [
        "http://intranet.example/activate", " https://intranet/activate?code=AB CD",
        "https://[::1]/activate", "https://bücher.example/activate", "login.example.org/device",
        "login.example.org:8443/device", "//login.example.org/device",
    ] {
        let lab = Lab::new();
        lab.answers(DEVICE, move |_| (200, device_code(uri, &Value::Null)));
        lab.issues_tokens(TOKEN, "token");
        lab.broker(device(json!({}))).login(World::NAME, Login::Usual).await.expect("a login");
        assert_eq!(lab.world.person.told(), ["code ABCD"], "{uri}");
    }
}

#[tokio::test]
async fn device_login_with_raw_basic_asks_for_one_code() {
    let lab = Lab::new();
    lab.answers(DEVICE, |call| match basic(call).as_slice() {
        b"me:a/b" => (200, device_code("https://login.example.org/activate", &Value::Null)),
        _ => invalid_client(),
    });
    accepts(&lab, b"me:a/b", invalid_client());
    let table = with(login("device"), json!({ "device_url": DEVICE }));
    lab.broker(table.clone()).login(World::NAME, Login::Usual).await.expect("a login");
    let urls: Vec<_> = lab.calls().into_iter().map(|call| call.url).collect();
    assert_eq!(urls, [DEVICE, DEVICE, TOKEN]);
    lab.world.clock.advance(TimeDelta::hours(2));
    let renewed = lab.broker(table).token(World::NAME, &TokenRequest::new()).await.expect("a token");
    assert_eq!((renewed.secret().expose(), lab.calls().len()), ("token-2", 1));
}
