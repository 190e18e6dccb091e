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
    let hold = service.hold("token");
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let theirs = service.issue_refresh_token();
    leave(&sandbox, &json!({ "refresh_token": theirs }));
    drop(hold);
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
    let hold = service.hold("token");
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    drop(hold);
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
    for half in ["", "{\"access_tok", &whole[..whole.len() / 2], "[]", "null"] {
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

/// The environment may be somebody else's: a login that does not tell who gave it goes nowhere that only it names.
#[test]
fn a_domain_of_the_environment_gets_no_secret_of_another_source() {
    let evil = service(Rotation::Rotate);
    let names_no_issuer = |claims: &mut Value| drop(claims.as_object_mut().expect("claims").remove("iss"));
    let expired = |edit: Edit| jwt("https://login.earthscope.org", TimeDelta::hours(-1), edit);
    let tokens = [
        (json!({ "refresh_token": "KANARIE-mine" }), "does not tell who gave its login"),
        (
            json!({ "access_token": expired(names_no_issuer), "refresh_token": "KANARIE-mine" }),
            "does not tell who",
        ),
        (
            json!({ "access_token": expired(|claims| claims["iss"] = "issuer".into()), "refresh_token": "KANARIE-mine" }),
            "does not tell who",
        ),
        (json!({ "access_token": expired(|_| {}), "refresh_token": "KANARIE-mine" }), evil.url()),
    ];
    let by_variable = |name: &str, value: &str| Sandbox::new().with_env(name, value);
    let bootstrap = json!({ "oauth2": { "domain": evil.url() } }).to_string();
    for (name, value) in [("ES_OAUTH2__DOMAIN", evil.url()), ("ES_BOOTSTRAP_SETTINGS", &bootstrap)] {
        let sandbox = by_variable(name, value);
        for (login, why) in &tokens {
            leave(&sandbox, login);
            let _ = sandbox.broker(&TOKEN).ends(3).says(why);
        }
        std::fs::remove_file(sandbox.tokens_path()).expect("removed");
        // Nor does the login of the tools' first version, nor one that a person gives.
        let old = sandbox.home().join(".config/earthscope-cli/sso_tokens.json");
        sandbox.write(&old, &json!({ "refresh_token": "KANARIE-old" }).to_string());
        let _ = sandbox.broker(&TOKEN).ends(3).says("there is no login");
        let words = ["login", "earthscope", "--refresh-token-stdin"];
        let _ = sandbox.broker_reading(&words, "KANARIE-given").ends(5).says("`domain`");
    }
    let file = Sandbox::new();
    leave(&file, &tokens[0].0);
    file.write(&file.home().join("theirs.env"), &format!("ES_OAUTH2__DOMAIN={}\n", evil.url()));
    let _ = file.broker(&["token", "earthscope", "--env-file", "theirs.env"]).ends(3);
    assert!(evil.seen().is_empty());
}

#[test]
fn a_secret_and_a_domain_of_two_places_are_not_joined() {
    let (ours, evil) = (service(Rotation::Rotate), service(Rotation::Rotate));
    let config =
        |text: &str, sandbox: &Sandbox| sandbox.write(&sandbox.home().join(".earthscope/config.toml"), text);
    let sandbox = Sandbox::new().with_env("ES_OAUTH2__DOMAIN", evil.url());
    config("[default.oauth2]\nclient_secret = \"KANARIE\"\n", &sandbox);
    let _ = sandbox.broker(&TOKEN).ends(5).says("set `domain`").says("ES_OAUTH2__DOMAIN");
    // The tables of one file are one place: the SDK joins them too.
    let text = format!(
        "[default.oauth2]\ndomain = \"{}\"\n[profile.default.oauth2]\nclient_secret = \"KANARIE\"\n",
        ours.url()
    );
    config(&text, &sandbox);
    let _ = sandbox.broker(&TOKEN);
    assert_eq!((ours.count("token"), evil.seen().len()), (1, 0));
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

/// A renewal that fails after the tools have logged out does not bring the login back.
#[test]
fn a_logout_of_the_tools_during_a_renewal_that_fails_counts() {
    for fault in [
        Fault::CutAfter,
        Fault::Answer { status: 400, headers: vec![], body: "{\"error\":\"invalid_grant\"}".into() },
    ] {
        let service = service(Rotation::RotateDetectReuse);
        let sandbox = sandbox(&service);
        leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
        service.fault_always("token", fault);
        let hold = service.hold("token");
        let child = sandbox.start(&TOKEN);
        assert!(service.wait_for("token", 1, Duration::from_secs(30)));
        std::fs::remove_file(sandbox.tokens_path()).expect("removed");
        drop(hold);
        let run = finish(child);
        assert!([3, 4].contains(&run.code), "{run:?}");
        assert!(!sandbox.tokens_path().exists());
        let _ = sandbox.broker(&TOKEN).ends(3);
    }
}

/// Keys that are had in the name of one person are not those of who logged in meanwhile.
#[test]
fn a_login_of_another_person_on_the_way_to_keys_is_theirs_alone() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let config = format!("[providers.earthscope]\ndomain = \"{0}\"\napi_url = \"{0}\"\n", service.url());
    sandbox.write_config(&config);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let keys = ["token", "earthscope", "--role", "s3-miniseed-v2"];
    let hold = service.hold("token");
    let child = sandbox.start(&keys);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let theirs = jwt(service.url(), TimeDelta::days(1), |claims| claims["sub"] = "auth0|bob".into());
    let login = json!({ "access_token": theirs, "refresh_token": service.issue_refresh_token() });
    leave(&sandbox, &login);
    drop(hold);
    let of_ada = finish(child).ends(0).out;
    assert_eq!(left(&sandbox), login);
    assert_eq!(sandbox.broker(&TOKEN).token(), theirs);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["account"], "auth0|bob");
    assert!(!status["providers"][0]["scopes"].to_string().contains("aws"), "{status}");
    service.fault_always("aws", Fault::Status(503));
    let _ = sandbox.broker(&keys).ends(4);
    drop(of_ada);
}

/// One who logs out here while somebody logs in there.
#[test]
fn a_login_made_during_a_logout_is_left() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let hold = service.hold("revoke");
    let child = sandbox.start(&["logout", "earthscope"]);
    assert!(service.wait_for("revoke", 1, Duration::from_secs(30)));
    let theirs = json!({ "refresh_token": service.issue_refresh_token() });
    leave(&sandbox, &theirs);
    drop(hold);
    let _ = finish(child).ends(0).says("has another login since");
    assert_eq!((left(&sandbox), service.revoked().len()), (theirs, 1));
}

/// A home on another disk that goes away for a while.
#[test]
fn a_folder_that_is_away_is_no_logout() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = sandbox(&service);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let folder = sandbox.home().join(".earthscope");
    let away = sandbox.home().join("away");
    let hold = service.hold("token");
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    std::fs::rename(&folder, &away).expect("moved");
    drop(hold);
    let token = finish(child).says("WARNING").token();
    std::fs::rename(&away, &folder).expect("moved");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_eq!(service.reuse_events(), 0);
    std::fs::rename(&folder, &away).expect("moved");
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).says("away");
    std::fs::rename(&away, &folder).expect("moved");
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_eq!(service.reuse_events(), 0);
}

/// Two persons whose files differ in nothing but the access token, or have the same grant by mistake.
#[test]
fn who_it_is_is_told_by_the_token() {
    let service = service(Rotation::Keep);
    let sandbox = sandbox(&service);
    let config = format!("[providers.earthscope]\ndomain = \"{0}\"\napi_url = \"{0}\"\n", service.url());
    sandbox.write_config(&config);
    let of = |who: &str| {
        let edit = |claims: &mut Value| {
            claims["sub"] = who.into();
            claims["name"] = "A. Person".into();
        };
        jwt(service.url(), TimeDelta::days(1), edit)
    };
    let (refresh, other) = (service.issue_refresh_token(), service.issue_refresh_token());
    for second in [Value::Null, json!(refresh), json!(other)] {
        let first = if second.is_null() { Value::Null } else { json!(refresh) };
        for (who, grant) in [("ada", &first), ("bob", &second)] {
            let mut login = json!({ "access_token": of(who), "refresh_token": grant });
            login.as_object_mut().expect("a login").retain(|_, value| !value.is_null());
            leave(&sandbox, &login);
            service.fault("aws", Fault::edit(move |keys| keys["aws_access_key_id"] = who.into()));
            // The access token is not the service's own: the role is had with whatever comes of it.
            let run = sandbox.broker(&["token", "earthscope", "--role", "r"]);
            assert!(!run.out.contains("ada") || who == "ada", "{who}: {run:?}");
        }
    }
}

#[test]
fn other_keys_survive_a_logout_and_the_next_login() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let mut file = left(&sandbox);
    file["colour"] = "blue".into();
    leave(&sandbox, &file);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    service.approve_all();
    let login = sandbox.broker(&["login", "earthscope"]).ends(0);
    assert!(!login.err.contains("aside") && left(&sandbox)["colour"] == "blue", "{}", login.err);
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
    let _ = sandbox.broker(&TOKEN).ends(4).says("left alone until");
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
