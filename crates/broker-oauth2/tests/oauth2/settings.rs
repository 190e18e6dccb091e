//! Tests of errors for incomplete or contradictory settings.

use broker_core::{Login, Secret};
use broker_testkit::World;
use serde_json::{Value, json};

use crate::lab::{Lab, TOKEN, with};

fn refresh_token() -> Value {
    json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me" })
}

#[test]
fn settings_error_names_the_configuration_key() {
    let table = |keys| with(refresh_token(), keys);
    let cases: [(Value, &str, &str); 25] = [
        (json!({}), "flow", "`from`"),
        (table(json!({ "flow": "device" })), "flow", "`device_url`"),
        (json!({ "flow": "device", "client_id": "me" }), "flow", "`token_url`"),
        (table(json!({ "flow": "authorization_code" })), "flow", "`authorization_url`"),
        (json!({ "flow": "device", "issuer": "https://x.example" }), "flow", "`client_id`"),
        (table(json!({ "flow": "client_credentials" })), "flow", "`client_secret`"),
        (json!({ "flow": "token_exchange", "token_url": TOKEN }), "flow", "`from`"),
        (json!({ "flow": "device", "from": "base", "token_url": TOKEN }), "from", "`flow`"),
        (table(json!({ "client_auth": "basic" })), "client_auth", "`client_secret`"),
        (table(json!({ "password": "pw" })), "password", "`flow = \"password\"`"),
        (
            table(json!({ "issuer": "https://x.example/r/.well-known/openid-configuration" })),
            "issuer",
            "https://x.example/r",
        ),
        (table(json!({ "pkce": true })), "pkce", "remove `pkce`"),
        (table(json!({ "assertion_audience": "issuer" })), "assertion_audience", "`issuer`"),
        (table(json!({ "assertion_audience": "token" })), "assertion_audience", "\"token_url\""),
        (table(json!({ "params": { "grant_type": "x" } })), "params", "`grant_type`"),
        (table(json!({ "params": { "actor_token": "KANARIE" } })), "params", "`actor_token`"),
        (table(json!({ "params": { "code_challenge": "x" } })), "params", "`code_challenge`"),
        (table(json!({ "params": { "list": ["KANARIE"] } })), "params", "text for `list`"),
        (table(json!({ "fields": { "scope": " " } })), "fields.scope", "the path of a field"),
        (json!({ "from": "", "token_url": TOKEN }), "from", "provider name"),
        (json!({ "flow": "token_exchange", "from": "a b", "token_url": TOKEN }), "from", "provider name"),
        (table(json!({ "redirect_uri": "http://127.0.0.2/cb" })), "redirect_uri", "this machine"),
        (table(json!({ "redirect_uri": "http://127.0.0.1:0/cb" })), "redirect_uri", "this machine"),
        (table(json!({ "token_url": "http://login.example.org/" })), "token_url", "https"),
        (table(json!({ "redirect_uri": "https://evil.example/" })), "redirect_uri", "this machine"),
    ];
    let lab = Lab::new();
    for (table, key, words) in cases {
        let error = lab.build(table.clone()).err().unwrap_or_else(|| panic!("{table} is wrong"));
        assert_eq!(error.key, key, "{table}: {error}");
        assert!(error.message.contains(words), "{table}: {error}");
        assert!(!error.message.contains("KANARIE"), "{error}");
    }
}

#[test]
fn list_and_table_settings_can_be_strings_of_json() {
    let table = json!({
        "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "scope": "a b", "life": "30m",
        "resource": "[\"https://a.example\"]", "params": "{\"tenant\": \"t\"}",
    });
    let provider = Lab::new().build(table).expect("settings");
    assert_eq!(provider.info().issuer.audience.as_deref(), Some("https://a.example"));
}

#[tokio::test]
async fn login_method_that_the_flow_does_not_support_is_an_error() {
    let lab = Lab::new();
    let client = json!({ "flow": "client_credentials", "client_secret": "s" });
    for (table, login) in [
        (with(refresh_token(), client), Login::RefreshToken(Secret::new("r"))),
        (refresh_token(), Login::Usual),
        (refresh_token(), Login::Password(Secret::new("pw"))),
    ] {
        let error = lab.broker(table).login(World::NAME, login).await.expect_err("an unsupported login");
        assert_eq!(error.code(), broker_core::ErrorCode::LoginUnsupported, "{error}");
    }
    assert!(lab.calls().is_empty());
}
