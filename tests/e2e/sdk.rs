//! One login with EarthScope's own tools: what they leave in their files and settings. The tools themselves are run by
//! `tests/consumers`.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_e2e::{Run, Sandbox, finish};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

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
fn a_login_that_the_tools_make_during_a_renewal_is_kept() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let refresh = service.issue_refresh_token();
    leave(&sandbox, &json!({ "refresh_token": refresh }));
    service.fault("token", Fault::Delay(Duration::from_millis(500)));
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let theirs = service.issue_refresh_token();
    leave(&sandbox, &json!({ "refresh_token": theirs }));
    let _ = finish(child).token();
    assert_eq!(left(&sandbox), json!({ "refresh_token": theirs }));
    let token = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(service.access_is_live(&token) && left(&sandbox)["refresh_token"] != theirs);
}

#[test]
fn a_logout_of_the_tools_during_a_renewal_counts() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    service.fault("token", Fault::Delay(Duration::from_millis(500)));
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    let _ = finish(child).token();
    assert!(!sandbox.tokens_path().exists());
    let _ = sandbox.broker(&TOKEN).ends(3);
}

#[test]
fn half_a_file_is_waited_for_and_never_taken_for_a_logout() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let whole = json!({ "refresh_token": service.issue_refresh_token() });
    leave(&sandbox, &whole);
    let token = sandbox.broker(&TOKEN).token();
    let whole = std::fs::read_to_string(sandbox.tokens_path()).expect("a file");
    for half in ["", "{\"access_tok", &whole[..whole.len() / 2], "[]", "{}", "null"] {
        sandbox.write(&sandbox.tokens_path(), half);
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{half:?}: what is held still serves");
        sandbox.age("earthscope", TimeDelta::days(2));
        let _ = sandbox.broker(&TOKEN).ends(3).says("tokens.json").says("broker login earthscope");
        assert_eq!(std::fs::read_to_string(sandbox.tokens_path()).expect("a file"), half, "it is left");
        sandbox.write(&sandbox.tokens_path(), &whole);
        sandbox.age("earthscope", -TimeDelta::days(2));
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{half:?}: it was only half written");
    }
    sandbox.write(&sandbox.tokens_path(), "{\"access_tok");
    service.approve_all();
    let _ = sandbox.broker(&["login", "earthscope"]).ends(0).says("tokens.json.aside-1");
    assert!(left(&sandbox)["refresh_token"].is_string());
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
fn a_login_of_another_issuer_goes_nowhere_and_is_kept_aside_by_a_login() {
    let service = service(Rotation::Rotate);
    let others: [(&str, Edit); 3] = [
        ("another client", |claims| claims["azp"] = "another".into()),
        ("another audience", |claims| claims["aud"] = json!(["https://account.earthscope.org"])),
        ("http://127.0.0.1:1/", |claims| claims["iss"] = "http://127.0.0.1:1/".into()),
    ];
    for (what, edit) in others {
        let sandbox = sandbox(&service);
        let access = jwt(service.url(), TimeDelta::days(1), edit);
        leave(&sandbox, &json!({ "access_token": access, "refresh_token": "KANARIE-theirs" }));
        service.forget_seen();
        let before = left(&sandbox);
        let _ = sandbox.broker(&TOKEN).ends(3).says(what);
        let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
        assert_eq!((left(&sandbox), service.seen().len()), (before.clone(), 0), "{what}");
        service.approve_all();
        let _ = sandbox.broker(&["login", "earthscope"]).ends(0).says("tokens.json.aside-1");
        let aside = sandbox.tokens_path().with_extension("json.aside-1");
        let aside: Value = serde_json::from_slice(&std::fs::read(aside).expect("kept")).expect("JSON");
        assert_eq!(aside, before, "{what}");
        assert!(service.access_is_live(&sandbox.broker(&TOKEN).token()));
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
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert!(!sandbox.tokens_path().exists());
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_first_version() {
    let service = service(Rotation::Rotate);
    let old = |sandbox: &Sandbox, token: &str| {
        let path = sandbox.home().join(".config/earthscope-cli/sso_tokens.json");
        sandbox.write(
            &path,
            &json!({ "access_token": null, "refresh_token": token, "expires_at": 1 }).to_string(),
        );
    };
    let sent = || service.seen().pop().expect("a request").form().remove("refresh_token");
    let (of_env, of_file, of_old) =
        (service.issue_refresh_token(), service.issue_refresh_token(), service.issue_refresh_token());
    let sandbox = sandbox(&service).with_env("es_oauth2__refresh_token", &of_env);
    leave(&sandbox, &json!({ "refresh_token": of_file }));
    old(&sandbox, &of_old);
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!(sent().as_ref(), Some(&of_env));
    assert_eq!(
        left(&sandbox),
        json!({ "refresh_token": of_file }),
        "what is given by the environment is kept apart"
    );
    let sandbox = sandbox.with_env("es_oauth2__refresh_token", "");
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!(sent().as_ref(), Some(&of_file));
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!(sent().as_ref(), Some(&of_old));
    assert!(left(&sandbox)["refresh_token"].is_string(), "from then on it is in the file of today");
}

#[test]
fn a_profile_has_its_own_file_and_settings() {
    let service = service(Rotation::Rotate);
    let config = format!(
        "[default.oauth2]\ndomain = \"{url}\"\nclient_id = \"nobody\"\n[profile.\"My Lab\".oauth2]\nclient_id = \"{CLIENT}\"\n",
        url = service.url()
    );
    let sandbox = Sandbox::new().with_env("ES_PROFILE", "My Lab");
    sandbox.write(&sandbox.home().join(".earthscope/config.toml"), &config);
    let path = sandbox.home().join(".earthscope/my-lab/tokens.json");
    let access = jwt(service.url(), TimeDelta::days(1), |_| {});
    let login = json!({ "access_token": access, "refresh_token": service.issue_refresh_token() });
    sandbox.write(&path, &login.to_string());
    assert_eq!(sandbox.broker(&TOKEN).token(), access);
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(service.access_is_live(&renewed) && !sandbox.tokens_path().exists());
    let sources = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(sources["providers"][0]["sources"][0], path.display().to_string());
}

/// A file that does not tell who gave its login, and a domain that somebody else may have put into the environment.
#[test]
fn a_domain_of_the_environment_gets_no_secret_of_another_source() {
    let evil = service(Rotation::Rotate);
    let sandbox = Sandbox::new().with_env("ES_OAUTH2__DOMAIN", evil.url());
    leave(&sandbox, &json!({ "refresh_token": "KANARIE-mine" }));
    let _ = sandbox.broker(&TOKEN).ends(3).says("does not tell who gave its login");
    let own = jwt("https://login.earthscope.org", TimeDelta::hours(-1), |_| {});
    leave(&sandbox, &json!({ "access_token": own, "refresh_token": "KANARIE-mine" }));
    let _ = sandbox.broker(&TOKEN).ends(3).says(evil.url());
    sandbox.write(
        &sandbox.home().join(".earthscope/config.toml"),
        "[default.oauth2]\nclient_secret = \"KANARIE\"\ndomain = \"http://127.0.0.1:1\"\n",
    );
    let _ = sandbox.broker(&TOKEN).ends(4).says("127.0.0.1:1");
    assert!(evil.seen().is_empty());
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

#[test]
fn two_state_folders_share_one_login() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = sandbox(&service);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let folders: Vec<_> =
        (0..4).map(|number| sandbox.home().join(format!("state-{number}")).display().to_string()).collect();
    let start = |folder: &String| sandbox.start(&["token", "earthscope", "--state-dir", folder]);
    let started: Vec<_> = folders.iter().map(start).collect();
    let tokens: Vec<_> = started.into_iter().map(|child| finish(child).token()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "who waited uses what the first one wrote");
    assert_eq!((service.refreshes(), service.reuse_events()), (1, 0));
}
