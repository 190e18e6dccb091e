//! Tests that the broker and EarthScope's own tools share one login file. `tests/consumers` runs the tools themselves.

mod concurrent;
mod disk_faults;
mod last_read;
mod race;
mod sources;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_e2e::{Run, Sandbox};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::stage::{earthscope, logged_in, mode};

const TOKEN: [&str; 2] = ["token", "earthscope"];
const CLIENT: &str = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0";

type Edit = fn(&mut Value);

/// Starts an EarthScope fake server, and a sandbox configured for the server and its API.
fn seismic(rotation: Rotation) -> (EarthScope, Sandbox) {
    let (service, sandbox) = earthscope(EarthScopeOptions { rotation, ..EarthScopeOptions::default() }, "");
    sandbox.write_config(&format!("{}api_url = \"{}\"\n", sandbox.config(), service.url()));
    (service, sandbox)
}

/// Starts an EarthScope fake server, and a sandbox with a login file that EarthScope's tools could have written.
fn seismic_with_login(rotation: Rotation) -> (EarthScope, Sandbox) {
    let (service, sandbox) = seismic(rotation);
    write_login(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    (service, sandbox)
}

/// Returns a JWT with this lifetime, with the claims that EarthScope's tools read.
fn jwt(issuer: &str, lifetime: TimeDelta, edit: impl FnOnce(&mut Value)) -> String {
    let now = Utc::now();
    let mut claims = json!({
        "aud": "https://api.earthscope.org", "iss": format!("{issuer}/"), "sub": "auth0|me", "azp": CLIENT,
        "iat": now.timestamp(), "exp": (now + lifetime).timestamp(), "jti": "KANARIE",
    });
    edit(&mut claims);
    format!("{}.{}.KANARIE", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// Writes the login file of EarthScope's tools.
fn write_login(sandbox: &Sandbox, login: &Value) {
    sandbox.write(&sandbox.tokens_path(), &serde_json::to_string_pretty(login).expect("JSON"));
}

fn read_login(sandbox: &Sandbox) -> Value {
    serde_json::from_slice(&std::fs::read(sandbox.tokens_path()).expect("a file")).expect("JSON")
}

fn state(sandbox: &Sandbox) -> Value {
    sandbox.broker(&["status", "earthscope", "--json"]).json()["providers"][0]["state"].take()
}

#[test]
fn login_of_earthscope_tools_is_renewed_in_their_file() {
    let (service, sandbox) = seismic(Rotation::RotateDetectReuse);
    let (theirs, refresh) = (jwt(service.url(), TimeDelta::days(1), |_| {}), service.issue_refresh_token());
    let login = json!({ "access_token": theirs, "refresh_token": refresh, "colour": { "a": [1] } });
    write_login(&sandbox, &login);
    assert_eq!(sandbox.broker(&TOKEN).token(), theirs);
    assert_eq!((state(&sandbox), service.count("token")), (json!("valid"), 0));
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(service.access_is_live(&renewed));
    let file = read_login(&sandbox);
    assert_eq!((&file["access_token"], &file["colour"]), (&json!(renewed), &json!({ "a": [1] })));
    assert!(service.is_live(file["refresh_token"].as_str().expect("a refresh token")));
    let text = std::fs::read_to_string(sandbox.tokens_path()).expect("a file");
    assert!(text.starts_with("{\n  \"access_token\": \"") && text.ends_with('}'), "in the format of the SDK");
    let at = |key: &str| text.find(key).expect(key);
    assert!(at("access_token") < at("refresh_token") && at("refresh_token") < at("colour"), "{text}");
    assert_eq!(mode(&sandbox.tokens_path()), 0o600);
    let record = std::fs::read_to_string(sandbox.record_path("earthscope")).expect("a record");
    assert!(!record.contains(file["refresh_token"].as_str().expect("text")), "the record has no copy");
}

#[test]
fn new_login_of_earthscope_tools_replaces_stored_login() {
    let (service, sandbox) = seismic(Rotation::RotateDetectReuse);
    service.approve_all();
    let _ = sandbox.broker(&["login", "earthscope"]).ends(0);
    let ours = sandbox.broker(&TOKEN).token();
    let theirs = jwt(service.url(), TimeDelta::days(2), |claims| claims["sub"] = "auth0|another".into());
    let refresh = service.issue_refresh_token();
    write_login(&sandbox, &json!({ "access_token": theirs, "refresh_token": refresh }));
    assert_eq!(sandbox.broker(&TOKEN).token(), theirs);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["account"], "auth0|another");
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(renewed != ours && service.reuse_events() == 0);
    // EarthScope's tools log out by deleting their login file.
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    let requests = service.count("token");
    let _ = sandbox.broker(&TOKEN).ends(3).fails_with("login_required");
    assert_eq!((state(&sandbox), service.count("token")), (json!("none"), requests));
}

#[test]
fn token_that_earthscope_tools_cannot_read_is_not_shared() {
    let (service, sandbox) = seismic(Rotation::Keep);
    let tokens: [(&str, Edit); 4] = [
        ("opaque", |answer| answer["access_token"] = "KANARIE-opaque".into()),
        ("no subject", |answer| {
            answer["access_token"] =
                jwt("http://127.0.0.1", TimeDelta::days(1), |c| c["sub"] = Value::Null).into();
        }),
        ("- or _", |answer| {
            let odd = jwt("http://127.0.0.1", TimeDelta::days(1), |claims| {
                claims["sub"] = "??>>\u{ff}~~~???>>>".into();
            });
            assert!(odd.split('.').nth(1).expect("claims").contains(['-', '_']));
            answer["access_token"] = odd.into();
        }),
        ("two parts", |answer| answer["access_token"] = "KANARIE.b".into()),
    ];
    for (what, edit) in tokens {
        let sandbox = Sandbox::new().with_config(&sandbox.config());
        write_login(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
        service.fault("token", Fault::edit(edit));
        let token = sandbox.broker(&TOKEN).token();
        let keys: Vec<_> = read_login(&sandbox).as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["refresh_token"], "{what}");
        let requests = service.count("token");
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{what}: it is stored in the record");
        assert_eq!(service.count("token"), requests);
    }
}

#[test]
fn share_false_ignores_the_login_file_of_earthscope_tools() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
    assert!(!sandbox.tokens_path().exists());
    let theirs = json!({ "refresh_token": "KANARIE-theirs" });
    write_login(&sandbox, &theirs);
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthscope", "--force"]).token()));
    assert_eq!(read_login(&sandbox), theirs);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert_eq!(read_login(&sandbox), theirs);
}

#[test]
fn logout_keeps_unknown_keys_of_earthscope_login_file() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let mut file = read_login(&sandbox);
    file["colour"] = "blue".into();
    write_login(&sandbox, &file);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert_eq!(read_login(&sandbox), json!({ "colour": "blue" }));
    assert_eq!(service.revoked().len(), 1);
    service.approve_all();
    let login = sandbox.broker(&["login", "earthscope"]).ends(0);
    assert!(!login.err.contains("json.aside") && read_login(&sandbox)["colour"] == "blue", "{}", login.err);
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert!(!sandbox.tokens_path().exists());
}

#[test]
fn login_in_record_wins_over_older_earthscope_login_file() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
    let theirs = json!({ "access_token": jwt(service.url(), TimeDelta::days(-9), |_| {}), "refresh_token": "KANARIE-theirs" });
    write_login(&sandbox, &theirs);
    sandbox.write_config(&format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url()));
    let token = sandbox.broker(&["token", "earthscope", "--force"]).says("tokens.json.aside-1").token();
    assert!(service.access_is_live(&token));
    let quarantined = std::fs::read(sandbox.tokens_path().with_extension("json.aside-1")).expect("kept");
    assert_eq!(serde_json::from_slice::<Value>(&quarantined).expect("JSON"), theirs);
    assert_eq!(read_login(&sandbox)["access_token"], token);
    assert!(sandbox.record("earthscope")["shared"]["path"].is_string());
}

#[test]
fn token_without_sub_claim_stays_in_earthscope_login_file() {
    let (service, sandbox) = seismic(Rotation::Rotate);
    let odd = jwt(service.url(), TimeDelta::days(1), |claims| claims["sub"] = Value::Null);
    write_login(&sandbox, &json!({ "access_token": odd }));
    for _ in 0..2 {
        assert_eq!(sandbox.broker(&TOKEN).token(), odd);
        let _ = sandbox.broker(&["token", "earthscope", "--force"]).ends(3);
        assert_eq!(read_login(&sandbox)["access_token"], odd);
    }
}

#[test]
fn retry_after_applies_even_if_earthscope_tools_log_in_again() {
    let (service, sandbox) = seismic_with_login(Rotation::Rotate);
    let headers = vec![("Retry-After".to_owned(), "120".to_owned())];
    service.fault_always("token", Fault::Answer { status: 429, headers, body: String::new() });
    let _ = sandbox.broker(&TOKEN).ends(4);
    write_login(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let requests = service.count("token");
    let _ = sandbox.broker(&TOKEN).ends(4).fails_with("rate_limited");
    assert_eq!(service.count("token"), requests, "also after another login");
}

#[test]
fn refresh_token_flag_prints_refresh_token_and_a_warning() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let printed = sandbox.broker(&["token", "earthscope", "--refresh-token"]).says("warning: ").token();
    assert!(service.is_live(&printed) && service.seen().is_empty());
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    let none: Run = sandbox.broker(&["token", "earthscope", "--refresh-token"]).ends(3);
    let _ = none.fails_with("login_required");
    let _ = sandbox.broker(&["token", "earthscope", "--refresh-token", "--scope", "a"]).ends(2);
}
