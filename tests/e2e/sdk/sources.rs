//! Tests which files and settings of EarthScope's tools the broker uses, and for which issuer.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use broker_e2e::Sandbox;
use broker_testkit::{Fault, Rotation};
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{CLIENT, Edit, TOKEN, jwt, read_login, seismic, state, write_login};

#[test]
fn login_renames_earthscope_login_file_of_another_issuer() {
    let (service, sandbox) = seismic(Rotation::Rotate);
    let others: [(&str, Edit); 3] = [
        ("client another", |claims| claims["azp"] = "another".into()),
        ("lacks the configured audience", |claims| claims["aud"] = json!(["https://account.earthscope.org"])),
        ("http://127.0.0.1:1/", |claims| claims["iss"] = "http://127.0.0.1:1/".into()),
    ];
    for (what, edit) in others {
        let sandbox = Sandbox::new().with_config(&sandbox.config());
        let access = jwt(service.url(), TimeDelta::days(1), edit);
        write_login(&sandbox, &json!({ "access_token": access, "refresh_token": "KANARIE-theirs" }));
        service.forget_seen();
        let before = read_login(&sandbox);
        let _ = sandbox.broker(&TOKEN).ends(3).says(what);
        let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
        assert_eq!((read_login(&sandbox), service.seen().len()), (before.clone(), 0), "{what}");
        service.approve_all();
        let _ = sandbox.broker(&["login", "earthscope"]).ends(0).says("tokens.json.aside-1");
        let path = sandbox.tokens_path().with_extension("json.aside-1");
        let quarantined: Value = serde_json::from_slice(&std::fs::read(path).expect("kept")).expect("JSON");
        assert_eq!(quarantined, before, "{what}");
        assert!(service.access_is_live(&sandbox.broker(&TOKEN).token()));
    }
}

/// A server behind a custom domain may name its tenant as issuer, and its own client or audience.
#[test]
fn login_with_other_issuer_client_or_audience_is_renewable() {
    let others: [(&str, Edit); 5] = [
        ("a tenant", |claims| claims["iss"] = "https://lab.us.auth0.com/".into()),
        ("another port", |claims| claims["iss"] = "http://127.0.0.1:1/".into()),
        ("another client", |claims| claims["azp"] = "another".into()),
        ("another audience", |claims| claims["aud"] = json!(["https://lab.us.auth0.com/userinfo"])),
        ("no issuer", |claims| claims["iss"] = Value::Null),
    ];
    for (what, edit) in others {
        let (service, sandbox) = seismic(Rotation::RotateDetectReuse);
        let url = service.url().to_owned();
        let theirs = move |life| jwt(&url, TimeDelta::seconds(life), edit);
        let (issue, lifetime) = (theirs.clone(), AtomicI64::new(86_400));
        let fault = Fault::edit(move |answer| {
            if answer["access_token"].is_string() {
                answer["access_token"] = issue(lifetime.fetch_add(1, Relaxed)).into();
            }
        });
        service.fault_always("token", fault);
        let log_in = || {
            let login = ["login", "earthscope", "--refresh-token-stdin"];
            sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0)
        };
        let _ = log_in();
        let mut last = String::new();
        for _ in 0..2 {
            let token = sandbox.broker(&["token", "earthscope", "--force"]).token();
            assert!(
                token != last && service.is_live(read_login(&sandbox)["refresh_token"].as_str().expect(what))
            );
            assert_eq!(state(&sandbox), "valid", "{what}");
            last = token;
        }
        if what != "no issuer" {
            // EarthScope's tools renew the same login, which changes the refresh token.
            let renewed =
                json!({ "access_token": theirs(90_000), "refresh_token": service.issue_refresh_token() });
            write_login(&sandbox, &renewed);
            assert_eq!(sandbox.broker(&TOKEN).token(), renewed["access_token"], "{what}");
            assert_ne!(sandbox.broker(&["token", "earthscope", "--force"]).token(), renewed["access_token"]);
        }
        // A login of a third server is still refused, and its file is not changed.
        let strange = jwt("http://127.0.0.1:2", TimeDelta::days(1), |_| {});
        let foreign = json!({ "access_token": strange, "refresh_token": "KANARIE-foreign" });
        let ours = read_login(&sandbox);
        write_login(&sandbox, &foreign);
        service.forget_seen();
        let _ = sandbox.broker(&["token", "earthscope", "--force"]).ends(3).says("127.0.0.1:2");
        assert_eq!((read_login(&sandbox), service.count("token")), (foreign, 0), "{what}");
        write_login(&sandbox, &ours);
        let again = log_in();
        assert!(!again.err.contains("aside"), "{what}: {}", again.err);
        let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
        assert_eq!((service.revoked().len(), sandbox.tokens_path().exists()), (1, false), "{what}");
    }
}

#[test]
fn refresh_token_in_env_wins_over_earthscope_login_files() {
    let (service, sandbox) = seismic(Rotation::Rotate);
    let sent = || service.seen().pop().expect("a request").form().remove("refresh_token");
    let (env_token, file_token, old_token) =
        (service.issue_refresh_token(), service.issue_refresh_token(), service.issue_refresh_token());
    let sandbox = sandbox.with_env("es_oauth2__refresh_token", &env_token);
    write_login(&sandbox, &json!({ "refresh_token": file_token }));
    let old_path = sandbox.home().join(".config/earthscope-cli/sso_tokens.json");
    let old_login = json!({ "access_token": null, "refresh_token": old_token, "expires_at": 1 });
    sandbox.write(&old_path, &old_login.to_string());
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!(sent().as_ref(), Some(&env_token));
    assert_eq!(read_login(&sandbox), json!({ "refresh_token": file_token }), "the file is unchanged");
    let sandbox = sandbox.with_env("es_oauth2__refresh_token", "");
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!(sent().as_ref(), Some(&file_token));
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    let _ = sandbox.broker(&TOKEN).token();
    assert_eq!(sent().as_ref(), Some(&old_token));
    assert!(read_login(&sandbox)["refresh_token"].is_string(), "the login moves to the current file");
}

#[test]
fn earthscope_sdk_profile_has_own_login_file_and_settings() {
    let (service, _) = seismic(Rotation::Rotate);
    let config = format!(
        "[default.oauth2]\ndomain = \"{url}\"\nclient_id = \"unused\"\n[profile.\"My Lab\".oauth2]\nclient_id = \"{CLIENT}\"\n",
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

/// An attacker may set the domain by an environment variable. The broker must not send an EarthScope login there.
#[test]
fn earthscope_login_is_not_sent_to_domain_from_environment() {
    let (evil, _) = seismic(Rotation::Rotate);
    let names_no_issuer = |claims: &mut Value| drop(claims.as_object_mut().expect("claims").remove("iss"));
    let expired = |edit: Edit| jwt("https://login.earthscope.org", TimeDelta::hours(-1), edit);
    let login = |access: String| json!({ "access_token": access, "refresh_token": "KANARIE-mine" });
    let without_issuer = "token without an issuer";
    let tokens = [
        (json!({ "refresh_token": "KANARIE-mine" }), without_issuer),
        (login(expired(names_no_issuer)), without_issuer),
        (login(expired(|claims| claims["iss"] = "issuer".into())), without_issuer),
        (login(expired(|_| {})), evil.url()),
    ];
    let bootstrap = json!({ "oauth2": { "domain": evil.url() } }).to_string();
    for (name, value) in [("ES_OAUTH2__DOMAIN", evil.url()), ("ES_BOOTSTRAP_SETTINGS", &bootstrap)] {
        let sandbox = Sandbox::new().with_env(name, value);
        for (login, why) in &tokens {
            write_login(&sandbox, login);
            let _ = sandbox.broker(&TOKEN).ends(3).says(why);
        }
        std::fs::remove_file(sandbox.tokens_path()).expect("removed");
        // A domain from the environment gets no refresh token, neither from the older tools' login file nor from stdin.
        let old = sandbox.home().join(".config/earthscope-cli/sso_tokens.json");
        sandbox.write(&old, &json!({ "refresh_token": "KANARIE-old" }).to_string());
        let _ = sandbox.broker(&TOKEN).ends(3).fails_with("login_required");
        let words = ["login", "earthscope", "--refresh-token-stdin"];
        let _ = sandbox.broker_reading(&words, "KANARIE-stdin").ends(5).fails_with("host_not_allowed");
    }
    let file = Sandbox::new();
    write_login(&file, &tokens[0].0);
    file.write(&file.home().join("theirs.env"), &format!("ES_OAUTH2__DOMAIN={}\n", evil.url()));
    let _ = file.broker(&["token", "earthscope", "--env-file", "theirs.env"]).ends(3);
    assert!(evil.seen().is_empty());
}

#[test]
fn client_secret_and_domain_must_be_from_the_same_source() {
    let ((ours, _), (evil, _)) = (seismic(Rotation::Rotate), seismic(Rotation::Rotate));
    let sandbox = Sandbox::new().with_env("ES_OAUTH2__DOMAIN", evil.url());
    let path = sandbox.home().join(".earthscope/config.toml");
    sandbox.write(&path, "[default.oauth2]\nclient_secret = \"KANARIE\"\n");
    let _ = sandbox.broker(&TOKEN).ends(5).says("ES_OAUTH2__DOMAIN");
    // As in EarthScope's SDK, all tables of one file are one source, so secret and domain may be in different tables.
    let text = format!(
        "[default.oauth2]\ndomain = \"{}\"\n[profile.default.oauth2]\nclient_secret = \"KANARIE\"\n",
        ours.url()
    );
    sandbox.write(&path, &text);
    let _ = sandbox.broker(&TOKEN);
    assert_eq!((ours.count("token"), evil.seen().len()), (1, 0));
}

/// The `sub` of the access token identifies the account, even if two users' files contain the same refresh token.
#[test]
fn aws_keys_are_not_reused_for_login_file_of_another_user() {
    let (service, sandbox) = seismic(Rotation::Keep);
    let token = |who: &str| {
        let edit = |claims: &mut Value| {
            claims["sub"] = who.into();
            claims["name"] = "A. User".into();
        };
        jwt(service.url(), TimeDelta::days(1), edit)
    };
    let (refresh, other) = (service.issue_refresh_token(), service.issue_refresh_token());
    for second in [Value::Null, json!(refresh), json!(other)] {
        let first = if second.is_null() { Value::Null } else { json!(refresh) };
        for (who, grant) in [("ada", &first), ("bob", &second)] {
            let mut login = json!({ "access_token": token(who), "refresh_token": grant });
            login.as_object_mut().expect("a login").retain(|_, value| !value.is_null());
            write_login(&sandbox, &login);
            let keys = json!({
                "aws_access_key_id": who, "aws_secret_access_key": "KANARIE", "aws_session_token": "KANARIE",
            });
            let body = keys.to_string();
            service.clear_faults();
            service.fault_always("aws", Fault::Answer { status: 200, headers: vec![], body });
            let keys = sandbox.broker(&["token", "earthscope", "--role", "r"]).json();
            assert_eq!(keys["AccessKeyId"], who, "after ada's {first}, {second} is bob's");
        }
    }
}
