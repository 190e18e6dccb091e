//! Tests of errors for incomplete or contradictory settings.

use broker_core::{Login, Secret};
use broker_testkit::World;
use serde_json::{Value, json};

use crate::lab::Lab;

const TOKEN: &str = "https://login.example.org/oauth/token";

#[test]
fn settings_error_names_the_configuration_key() {
    let cases: [(Value, &str, &str); 21] = [
        (json!({}), "flow", "`from`"),
        (json!({ "flow": "device", "token_url": TOKEN, "client_id": "me" }), "flow", "`device_url`"),
        (json!({ "flow": "device", "client_id": "me" }), "flow", "`token_url`"),
        (
            json!({ "flow": "authorization_code", "token_url": TOKEN, "client_id": "me" }),
            "flow",
            "`authorization_url`",
        ),
        (json!({ "flow": "device", "issuer": "https://x.example" }), "flow", "`client_id`"),
        (
            json!({ "flow": "client_credentials", "token_url": TOKEN, "client_id": "me" }),
            "flow",
            "`client_secret`",
        ),
        (json!({ "flow": "token_exchange", "token_url": TOKEN }), "flow", "`from`"),
        (json!({ "flow": "device", "from": "base", "token_url": TOKEN }), "from", "`flow`"),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "client_auth": "basic" }),
            "client_auth",
            "`client_secret`",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "password": "pw" }),
            "password",
            "`flow = \"password\"`",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "params": { "grant_type": "x" } }),
            "params",
            "`grant_type`",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "params": { "actor_token": "KANARIE" } }),
            "params",
            "`actor_token`",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "params": { "code_challenge": "x" } }),
            "params",
            "`code_challenge`",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "params": { "list": ["KANARIE"] } }),
            "params",
            "text for `list`",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "fields": { "scope": " " } }),
            "fields.scope",
            "a path",
        ),
        (json!({ "from": "", "token_url": TOKEN }), "from", "provider name"),
        (json!({ "flow": "token_exchange", "from": "a b", "token_url": TOKEN }), "from", "provider name"),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "redirect_uri": "http://127.0.0.2/cb" }),
            "redirect_uri",
            "this machine",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "redirect_uri": "http://127.0.0.1:0/cb" }),
            "redirect_uri",
            "this machine",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": "http://login.example.org/", "client_id": "me" }),
            "token_url",
            "https",
        ),
        (
            json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "redirect_uri": "https://evil.example/" }),
            "redirect_uri",
            "this machine",
        ),
    ];
    let lab = Lab::new();
    for (table, key, data) in cases {
        let error = lab.build(table.clone()).err().unwrap_or_else(|| panic!("{table} is wrong"));
        assert_eq!(error.key, key, "{table}: {error}");
        assert!(error.message.contains(data), "{table}: {error}");
        assert!(!error.message.contains("KANARIE"), "{error}");
    }
}

#[test]
fn settings_from_the_environment_may_be_text() {
    let table = json!({
        "flow": "refresh_token", "token_url": TOKEN, "client_id": "me", "scope": "a b", "life": "30m",
        "resource": "[\"https://a.example\"]", "params": "{\"tenant\": \"t\"}",
    });
    let provider = Lab::new().build(table).expect("settings");
    assert_eq!(provider.issuer().audience.as_deref(), Some("https://a.example"));
}

#[tokio::test]
async fn login_that_the_flow_does_not_support_is_an_error() {
    let lab = Lab::new();
    let client =
        json!({ "flow": "client_credentials", "token_url": TOKEN, "client_id": "me", "client_secret": "s" });
    let refresh_token = json!({ "flow": "refresh_token", "token_url": TOKEN, "client_id": "me" });
    for (table, login) in [
        (client, Login::RefreshToken(Secret::new("r"))),
        (refresh_token.clone(), Login::Usual),
        (refresh_token, Login::Password(Secret::new("pw"))),
    ] {
        let error = lab.broker(table).login(World::NAME, login).await.expect_err("no such login");
        assert_eq!(error.code(), broker_core::ErrorCode::LoginUnsupported, "{error}");
    }
    assert!(lab.calls().is_empty());
}
