//! Tests `kind = "oauth2"` when only `issuer` and a client are configured.

use std::process::Command;

use broker_e2e::{MARK, Sandbox};

use super::browser::Browser;
use super::code::{code_flow, log_in};
use super::refresh_token;
use super::service::{Login, Options, Service};

fn token(sandbox: &Sandbox) -> String {
    sandbox.broker(&["token", "sea"]).token()
}

/// Starts the server, and a sandbox with a login by the authorization code flow.
fn logged_in() -> (Service, Sandbox) {
    let (service, sandbox) = code_flow();
    let _ = log_in(&sandbox).ends(0);
    (service, sandbox)
}

#[test]
#[ignore = "needs node and npm"]
fn device_login_needs_only_issuer_and_client() {
    let service = Service::start(&Options::default());
    let sandbox =
        service.sandbox_of("flow = \"device\"\nclient_id = \"broker-native\"\nscope = \"openid\"\n");
    let login = Login::begin(&sandbox, &["login", "sea", "--no-browser"]);
    let mut browser = Browser::default();
    let page = browser.open(&login.url);
    super::approve(&mut browser, &page);
    let _ = login.end().ends(0);
    assert_eq!(service.owner_of(&token(&sandbox)).1.as_deref(), Some("anna"));
}

#[test]
#[ignore = "needs node and npm"]
fn concurrent_callers_send_a_rotating_refresh_token_once() {
    let (service, sandbox) = logged_in();
    super::check_rotation(&service, &sandbox, "sea", "broker-native", 8);
}

#[test]
#[ignore = "needs node and npm"]
fn logout_revokes_the_login_at_the_discovered_endpoint() {
    let (service, sandbox) = logged_in();
    let (access, refresh) = (token(&sandbox), refresh_token(&sandbox, "sea"));
    let _ = sandbox.broker(&["logout", "sea"]).ends(0);
    assert!(service.counts().revocations >= 1);
    assert_eq!(service.owner_of(&access).0, None, "the grant is revoked with its tokens");
    let replayed = service.replay_as("broker-native", &refresh);
    assert_eq!((replayed.status, &replayed.json()["error"]), (400, &"invalid_grant".into()));
    let _ = sandbox.broker(&["token", "sea"]).ends(3).fails_with("login_required");
}

#[test]
#[ignore = "needs node and npm"]
fn introspection_shows_a_revoked_token() {
    let (service, sandbox) = logged_in();
    let words = ["inspect", "sea", "--introspect", "--json"];
    let introspection = sandbox.broker(&words).json()["introspection"].clone();
    assert!(introspection["active"] == true && introspection["sub"] == "anna", "{introspection}");
    assert_eq!(introspection["client_id"], "broker-native");
    // The token is still stored after the server revoked the grant, so only introspection can show that it is invalid.
    service.revoke_as("broker-native", &refresh_token(&sandbox, "sea"));
    let introspection = sandbox.broker(&words).json()["introspection"].clone();
    assert_eq!(introspection["active"], false);
}

#[test]
#[ignore = "needs node and npm"]
fn client_secret_is_sent_by_http_basic_or_in_request_body() {
    // The client secret contains characters that must be URL-encoded for HTTP Basic (RFC 6749 section 2.3.1).
    let secret = format!("{MARK}: 50 % of + & =/?, and long enough");
    let service = Service::start(&Options { secret: Some(secret.clone()), ..Options::default() });
    for (client, more) in
        [("by-basic", ""), ("by-basic", "client_auth = \"basic\"\n"), ("by-body", "client_auth = \"body\"\n")]
    {
        let lines = format!("flow = \"client_credentials\"\nclient_id = \"{client}\"\n{more}");
        let sandbox = service
            .sandbox_of(&format!("{lines}client_secret = {{ env = \"SEA\" }}\n"))
            .with_env("SEA", &secret);
        assert_eq!(service.owner_of(&token(&sandbox)), (Some(client.to_owned()), None), "{lines}");
        let wrong = sandbox.with_env("SEA", &format!("{MARK} of another"));
        let _ = wrong.broker(&["token", "sea", "--force"]).ends(6);
    }
}

/// Creates a private key as PEM (PKCS#8).
fn private_key(kind: &str) -> String {
    let script = format!(
        "process.stdout.write(require('node:crypto').generateKeyPairSync({kind}).privateKey\
         .export({{ type: 'pkcs8', format: 'pem' }}))"
    );
    let output =
        Command::new("node").arg("-e").arg(script).output().expect("node is missing: install node and npm");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("PEM")
}

#[test]
#[ignore = "needs node and npm"]
fn private_key_jwt_works_with_each_algorithm() {
    for (kind, more) in [
        ("'rsa', { modulusLength: 2048 }", ""),
        ("'rsa', { modulusLength: 2048 }", "algorithm = \"PS256\"\n"),
        ("'ec', { namedCurve: 'P-256' }", ""),
        ("'ed25519'", ""),
    ] {
        let key = private_key(kind);
        let service = Service::start(&Options { key: Some(key.clone()), ..Options::default() });
        let lines =
            "flow = \"client_credentials\"\nclient_id = \"by-key\"\nclient_auth = \"private_key_jwt\"\n";
        let sandbox = service.sandbox_of(&format!("{lines}{more}private_key = {{ env = \"SEA_KEY\" }}\n"));
        let sandbox = sandbox.with_env("SEA_KEY", &key);
        assert_eq!(service.owner_of(&token(&sandbox)).0.as_deref(), Some("by-key"), "{kind} {more}");
        let other = sandbox.with_env("SEA_KEY", &private_key(kind));
        let _ = other.broker(&["token", "sea", "--force"]).ends(6);
    }
}
