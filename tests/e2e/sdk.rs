//! One login with EarthScope's own tools: what they leave in their files and settings. The tools themselves are run by
//! `tests/consumers`.

mod meanwhile;
mod sources;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_e2e::{Run, Sandbox};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

use crate::stage::logged_in;

const TOKEN: [&str; 2] = ["token", "earthscope"];
const CLIENT: &str = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0";

type Edit = fn(&mut Value);

fn service(rotation: Rotation) -> EarthScope {
    EarthScope::start(EarthScopeOptions { rotation, ..EarthScopeOptions::default() })
}

fn sandbox(service: &EarthScope) -> Sandbox {
    Sandbox::new().with_config(&format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url()))
}

/// A token as the tools can read it, which is good for so long.
fn jwt(issuer: &str, life: TimeDelta, edit: impl FnOnce(&mut Value)) -> String {
    let now = Utc::now();
    let mut claims = json!({
        "aud": "https://api.earthscope.org", "iss": format!("{issuer}/"), "sub": "auth0|me", "azp": CLIENT,
        "iat": now.timestamp(), "exp": (now + life).timestamp(), "jti": "KANARIE",
    });
    edit(&mut claims);
    format!("{}.{}.KANARIE", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// What the tools leave after a login.
fn leave(sandbox: &Sandbox, login: &Value) {
    sandbox.write(&sandbox.tokens_path(), &serde_json::to_string_pretty(login).expect("JSON"));
}

fn left(sandbox: &Sandbox) -> Value {
    serde_json::from_slice(&std::fs::read(sandbox.tokens_path()).expect("a file")).expect("JSON")
}

fn state(sandbox: &Sandbox) -> Value {
    sandbox.broker(&["status", "earthscope", "--json"]).json()["providers"][0]["state"].take()
}

#[test]
fn what_the_tools_logged_in_with_is_used_and_renewed_in_its_place() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = sandbox(&service);
    let (theirs, refresh) = (jwt(service.url(), TimeDelta::days(1), |_| {}), service.issue_refresh_token());
    leave(&sandbox, &json!({ "access_token": theirs, "refresh_token": refresh, "colour": { "a": [1] } }));
    assert_eq!(sandbox.broker(&TOKEN).token(), theirs);
    assert_eq!((state(&sandbox), service.count("token")), (json!("valid"), 0));
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(service.access_is_live(&renewed));
    let file = left(&sandbox);
    assert_eq!((&file["access_token"], &file["colour"]), (&json!(renewed), &json!({ "a": [1] })));
    assert!(service.is_live(file["refresh_token"].as_str().expect("a refresh token")));
    let text = std::fs::read_to_string(sandbox.tokens_path()).expect("a file");
    assert!(text.starts_with("{\n  \"access_token\": \"") && text.ends_with('}'), "as the SDK writes it");
    let at = |key: &str| text.find(key).expect(key);
    assert!(at("access_token") < at("refresh_token") && at("refresh_token") < at("colour"), "{text}");
    let mode = std::fs::metadata(sandbox.tokens_path()).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let record = std::fs::read_to_string(sandbox.record_path("earthscope")).expect("a record");
    assert!(!record.contains(file["refresh_token"].as_str().expect("text")), "one place, and no copy");
}

#[test]
fn what_the_tools_write_counts_from_then_on() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = sandbox(&service);
    service.approve_all();
    let _ = sandbox.broker(&["login", "earthscope"]).ends(0);
    let ours = sandbox.broker(&TOKEN).token();
    let theirs = jwt(service.url(), TimeDelta::days(2), |claims| claims["sub"] = "auth0|another".into());
    let refresh = service.issue_refresh_token();
    leave(&sandbox, &json!({ "access_token": theirs, "refresh_token": refresh }));
    assert_eq!(sandbox.broker(&TOKEN).token(), theirs);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["account"], "auth0|another");
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(renewed != ours && service.reuse_events() == 0);
    // They log out.
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    let asked = service.count("token");
    let _ = sandbox.broker(&TOKEN).ends(3).says("broker login earthscope");
    assert_eq!((state(&sandbox), service.count("token")), (json!("none"), asked));
}

#[test]
fn a_token_that_breaks_the_tools_is_not_left_in_their_file() {
    let service = service(Rotation::Keep);
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
        let sandbox = sandbox(&service);
        leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
        service.fault("token", Fault::edit(edit));
        let token = sandbox.broker(&TOKEN).token();
        let keys: Vec<_> = left(&sandbox).as_object().expect("an object").keys().cloned().collect();
        assert_eq!(keys, ["refresh_token"], "{what}");
        let asked = service.count("token");
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{what}: it is held all the same");
        assert_eq!(service.count("token"), asked);
    }
}

#[test]
fn kept_apart_the_file_is_neither_read_nor_written() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
    assert!(!sandbox.tokens_path().exists());
    let theirs = json!({ "refresh_token": "KANARIE-theirs" });
    leave(&sandbox, &theirs);
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthscope", "--force"]).token()));
    assert_eq!(left(&sandbox), theirs);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert_eq!(left(&sandbox), theirs);
}

#[test]
fn a_logout_takes_the_login_out_and_leaves_the_rest() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let mut file = left(&sandbox);
    file["colour"] = "blue".into();
    leave(&sandbox, &file);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert_eq!(left(&sandbox), json!({ "colour": "blue" }));
    assert_eq!(service.revoked().len(), 1);
    service.approve_all();
    let login = sandbox.broker(&["login", "earthscope"]).ends(0);
    assert!(!login.err.contains("aside") && left(&sandbox)["colour"] == "blue", "{}", login.err);
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert!(!sandbox.tokens_path().exists());
}

#[test]
fn a_login_that_was_kept_apart_is_not_given_up_for_an_old_file() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
    let theirs = json!({ "access_token": jwt(service.url(), TimeDelta::days(-9), |_| {}), "refresh_token": "KANARIE-theirs" });
    leave(&sandbox, &theirs);
    sandbox.write_config(&format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url()));
    let token = sandbox.broker(&["token", "earthscope", "--force"]).says("tokens.json.aside-1").token();
    assert!(service.access_is_live(&token));
    let aside = std::fs::read(sandbox.tokens_path().with_extension("json.aside-1")).expect("kept");
    assert_eq!(serde_json::from_slice::<Value>(&aside).expect("JSON"), theirs);
    assert_eq!(left(&sandbox)["access_token"], token);
    assert!(sandbox.record("earthscope")["shared"]["path"].is_string());
}

#[test]
fn an_access_token_alone_that_the_tools_cannot_read_is_left_to_them() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let odd = jwt(service.url(), TimeDelta::days(1), |claims| claims["sub"] = Value::Null);
    leave(&sandbox, &json!({ "access_token": odd }));
    for _ in 0..2 {
        assert_eq!(sandbox.broker(&TOKEN).token(), odd);
        let _ = sandbox.broker(&["token", "earthscope", "--force"]).ends(3);
        assert_eq!(left(&sandbox)["access_token"], odd);
    }
}

#[test]
fn a_rest_that_a_service_asks_for_outlives_a_login_that_is_not_there() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let refresh = service.issue_refresh_token();
    leave(&sandbox, &json!({ "refresh_token": refresh }));
    let headers = vec![("Retry-After".to_owned(), "120".to_owned())];
    service.fault_always("token", Fault::Answer { status: 429, headers, body: String::new() });
    let _ = sandbox.broker(&TOKEN).ends(4);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let asked = service.count("token");
    let _ = sandbox.broker(&TOKEN).ends(4).fails_with("rate_limited");
    assert_eq!(service.count("token"), asked, "whoever logged in");
}

#[test]
fn the_refresh_token_is_printed_for_another_host_with_a_warning() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let printed = sandbox.broker(&["token", "earthscope", "--refresh-token"]).says("warning: ").token();
    assert!(service.is_live(&printed) && service.seen().is_empty());
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    let none: Run = sandbox.broker(&["token", "earthscope", "--refresh-token"]).ends(3);
    let _ = none.says("broker login earthscope");
    let _ = sandbox.broker(&["token", "earthscope", "--refresh-token", "--scope", "a"]).ends(2);
}
