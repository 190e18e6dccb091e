//! Tests EarthScope: device login, client credentials, renewal and logout.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use broker_e2e::{Run, Sandbox, assert_no_secret, finish};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::json;

use crate::stage::{earthscope, fast_polling, start_request};

const CLIENT_SECRET: &str = "m2m-KANARIE";

const REFRESH_TOKEN_LOGIN: [&str; 3] = ["login", "earthscope", "--refresh-token-stdin"];

/// Starts a fake server, and a sandbox without a login.
fn logged_out(rotation: Rotation) -> (EarthScope, Sandbox) {
    earthscope(EarthScopeOptions { rotation, ..fast_polling() }, "")
}

fn logged_in(rotation: Rotation) -> (EarthScope, Sandbox) {
    let (service, sandbox) = logged_out(rotation);
    let _ = log_in(&service, &sandbox);
    (service, sandbox)
}

/// Logs in, and makes the access token expire.
fn expired(rotation: Rotation) -> (EarthScope, Sandbox) {
    let (service, sandbox) = logged_in(rotation);
    sandbox.age("earthscope", TimeDelta::days(2));
    (service, sandbox)
}

fn log_in(service: &EarthScope, sandbox: &Sandbox) -> Run {
    service.approve_all();
    sandbox.broker(&["login", "earthscope", "--no-browser"]).ends(0)
}

#[test]
fn device_login_stores_the_token() {
    let (service, sandbox) = logged_out(Rotation::RotateDetectReuse);
    let mut login = sandbox.start(&["login", "earthscope"]);
    let mut lines = BufReader::new(login.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    // Without a terminal, `login` prints URL and code on stderr.
    let url = lines.find(|line| line.contains("/activate")).expect("the page");
    let code = service.user_codes().pop().expect("a code");
    assert!(url.contains(service.url()) && url.ends_with(&format!(" the code {code}")), "{url}");
    assert!(service.wait_for("token", 1, Duration::from_secs(30)), "the broker does not poll");
    service.approve(&code);
    let end: Vec<_> = lines.collect();
    assert_no_secret("stderr", &end.join("\n"));
    let run = finish(login).ends(0);
    assert_eq!(run.out, "", "stdout is only for tokens");
    assert!(end.last().is_some_and(|line| line.starts_with("earthscope: logged in as ")), "{end:?}");

    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let requests = service.seen().len();
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!(service.seen().len(), requests, "a request despite a stored token");
}

#[test]
fn token_command_without_login_sends_no_request() {
    let (service, sandbox) = logged_out(Rotation::Keep);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("login_required");
    assert!(service.seen().is_empty(), "no login starts automatically");
}

#[test]
fn token_command_with_login_flag_starts_a_login() {
    let (service, sandbox) = logged_out(Rotation::Keep);
    service.approve_all();
    let run = sandbox.broker(&["token", "earthscope", "--login"]);
    assert!(service.access_is_live(&run.token()));
}

#[test]
fn tokens_are_renewed_whether_or_not_refresh_tokens_rotate() {
    for rotation in [Rotation::Keep, Rotation::Omit, Rotation::Rotate, Rotation::RotateDetectReuse] {
        let (service, sandbox) = logged_in(rotation);
        let mut last = sandbox.broker(&["token", "earthscope"]).token();
        for renewal in 1..=3 {
            sandbox.age("earthscope", TimeDelta::days(2));
            let next = sandbox.broker(&["token", "earthscope"]).token();
            assert_ne!(next, last);
            assert_eq!(service.refreshes(), renewal, "{rotation:?}");
            last = next;
        }
        let refresh = service.seen().pop().expect("a refresh").form();
        assert_eq!(refresh["grant_type"], "refresh_token");
        assert_eq!(refresh["scopes"], "offline_access", "the SDK's spelling");
        assert!(!refresh.contains_key("audience"));
        let stored = sandbox.record("earthscope")["grant"]["secret"].clone();
        assert!(service.is_live(stored.as_str().expect("a refresh token")), "{rotation:?}");
    }
}

#[test]
fn refused_refresh_token_is_not_sent_again() {
    let (service, sandbox) = expired(Rotation::Keep);
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("grant_refused");
    let requests = service.seen().len();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("grant_refused");
    assert_eq!(service.seen().len(), requests);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["state"], "login_required");
    let _ = log_in(&service, &sandbox);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
fn denied_and_expired_device_codes_have_distinct_errors() {
    let (service, sandbox) = logged_out(Rotation::Keep);
    service.deny_all();
    let _ = sandbox.broker(&["login", "earthscope"]).ends(6).fails_with("access_denied");
    let (_service, sandbox) = earthscope(EarthScopeOptions { code_life: 1, ..fast_polling() }, "");
    let _ = sandbox.broker(&["login", "earthscope"]).ends(3).fails_with("login_timeout");
}

#[test]
fn token_command_with_client_secret_needs_no_login() {
    let options = EarthScopeOptions { client_secret: Some(CLIENT_SECRET.into()), ..fast_polling() };
    let (service, sandbox) = earthscope(options, "");
    let sandbox = sandbox
        .with_env("BROKER_PROVIDERS__EARTHSCOPE__CLIENT_SECRET__ENV", "THE_SECRET")
        .with_env("THE_SECRET", CLIENT_SECRET);
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let seen = service.seen().pop().expect("a request");
    assert_eq!(seen.header("authorization"), None, "credentials in the HTTP header");
    let form = seen.form();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["audience"], "https://api.earthscope.org");
    assert_eq!(form.len(), 4, "a field other than client id, secret, grant type and audience");
    let wrong = sandbox.with_env("THE_SECRET", "another KANARIE");
    let _ = wrong.broker(&["token", "earthscope"]).ends(6);
}

#[test]
fn tokens_of_user_login_and_client_secret_are_separate() {
    let options = EarthScopeOptions { client_secret: Some(CLIENT_SECRET.into()), ..fast_polling() };
    let (service, sandbox) = earthscope(options, "");
    let _ = log_in(&service, &sandbox);
    let user_token = sandbox.broker(&["token", "earthscope"]).token();
    let with_login = sandbox.config();
    sandbox.write_config(&format!("{with_login}client_secret = \"{CLIENT_SECRET}\"\n"));
    let client_token = sandbox.broker(&["token", "earthscope"]).token();
    assert_ne!(user_token, client_token);
    // A token request with client credentials does not delete the user's login from the record.
    sandbox.write_config(&with_login);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), user_token);
    sandbox.age("earthscope", TimeDelta::days(2));
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    assert_eq!(service.refreshes(), 1);
}

#[test]
fn stored_login_is_not_sent_to_another_issuer() {
    let (first, sandbox) = expired(Rotation::Keep);
    let (second, other) = logged_out(Rotation::Keep);
    sandbox.write_config(&other.config());
    let run = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("login_required");
    let _ = run.says(first.url()).says(second.url());
    assert!(second.seen().is_empty());
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["state"], "login_required");
}

#[test]
fn login_accepts_a_refresh_token_from_stdin() {
    let (service, sandbox) = logged_out(Rotation::RotateDetectReuse);
    let token = service.issue_refresh_token();
    let _ = sandbox.broker_reading(&REFRESH_TOKEN_LOGIN, &format!("{token}\n")).ends(0);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    // A refresh token that the service refuses does not replace the stored login.
    let _ = sandbox.broker_reading(&REFRESH_TOKEN_LOGIN, "wrong-KANARIE").ends(6);
    sandbox.age("earthscope", TimeDelta::days(2));
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    let _ = sandbox.broker_reading(&REFRESH_TOKEN_LOGIN, "\n").ends(2);
}

#[test]
fn refresh_token_in_environment_works_without_a_login() {
    let (service, sandbox) = logged_out(Rotation::RotateDetectReuse);
    let sandbox = sandbox.with_env("ES_OAUTH2__REFRESH_TOKEN", &service.issue_refresh_token());
    for renewal in 1..=3 {
        let _ = sandbox.broker(&["token", "earthscope"]).token();
        assert_eq!(service.refreshes(), renewal, "the rotated refresh token is used");
        sandbox.age("earthscope", TimeDelta::days(2));
    }
    assert_eq!(service.reuse_events(), 0);
    // After the service has refused the refresh token, the broker does not send it again.
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    let requests = service.seen().len();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    assert_eq!(service.seen().len(), requests);
}

#[test]
fn logout_revokes_the_login_and_deletes_the_record() {
    let (service, sandbox) = logged_in(Rotation::Rotate);
    let stored = sandbox.record("earthscope")["grant"]["secret"].clone();
    // If the service does not revoke the login, `logout` keeps the record.
    service.fault_always("revoke", Fault::CutBefore);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(4).fails_with("network_unreachable");
    assert!(sandbox.record_path("earthscope").exists());
    service.clear_faults();
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
    assert_eq!(service.revoked(), [stored.as_str().expect("a refresh token")]);
    let seen = service.seen().pop().expect("a request");
    assert_eq!(seen.json(), json!({ "client_id": "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0", "token": stored }));
    assert!(!sandbox.record_path("earthscope").exists());
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0);
}

#[test]
fn logout_with_local_flag_sends_no_request() {
    let (service, sandbox) = logged_in(Rotation::Keep);
    let requests = service.seen().len();
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    assert_eq!(service.seen().len(), requests);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
}

#[test]
fn signal_during_renewal_waits_until_token_is_saved() {
    for signal in ["INT", "TERM", "HUP"] {
        let (service, sandbox) = expired(Rotation::RotateDetectReuse);
        // The response with the new refresh token is delayed, so the signal reaches the broker before the response.
        service.fault("token", Fault::Delay(Duration::from_millis(300)));
        let child = start_request(&sandbox, &["token", "earthscope"], &service, "token");
        broker_e2e::signal(&child, signal);
        let run = finish(child);
        assert!(run.code > 128, "{signal}: the signal does not end the broker: {run:?}");
        let _ = sandbox.broker(&["token", "earthscope"]).token();
        assert_eq!((service.refreshes(), service.reuse_events()), (1, 0), "{signal}");
    }
}

#[test]
fn ctrl_c_during_login_stores_nothing() {
    let (service, sandbox) = logged_out(Rotation::Keep);
    let child = start_request(&sandbox, &["login", "earthscope", "--no-browser"], &service, "token");
    broker_e2e::signal(&child, "INT");
    assert_eq!(finish(child).code, 130);
    assert!(!sandbox.record_path("earthscope").exists());
    let _ = log_in(&service, &sandbox);
}

#[test]
fn min_ttl_and_force_flags_get_a_new_token() {
    let (service, sandbox) = earthscope(EarthScopeOptions { token_life: 7200, ..fast_polling() }, "");
    let _ = log_in(&service, &sandbox);
    let first = sandbox.broker(&["token", "earthscope", "--min-ttl", "1h"]).token();
    sandbox.age("earthscope", TimeDelta::minutes(65));
    let second = sandbox.broker(&["token", "earthscope", "--min-ttl", "1h"]).token();
    assert_ne!(first, second);
    let third = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_ne!(second, third);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), third);
    let run = sandbox.broker(&["token", "earthscope", "--expires", "7d"]);
    let _ = run.ends(2).fails_with("request_unsupported");
    let _ = sandbox.broker(&["token", "earthscope", "--min-ttl", "3h"]).ends(0).says("--min-ttl");
}

#[test]
fn rotated_refresh_token_of_malformed_response_is_saved() {
    for key in ["access_token", "token_type"] {
        let (service, sandbox) = expired(Rotation::RotateDetectReuse);
        service.fault("token", Fault::edit(move |answer| answer[key] = serde_json::Value::Null));
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token));
        assert_eq!(service.reuse_events(), 0, "without {key}");
    }
}

#[test]
fn oauth_server_error_code_with_status_400_is_transient() {
    for code in ["temporarily_unavailable", "server_error"] {
        let (service, sandbox) = expired(Rotation::Keep);
        let body = json!({ "error": code }).to_string();
        service.fault("token", Fault::Answer { status: 400, headers: vec![], body });
        let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
        let _ = sandbox.broker(&["token", "earthscope"]).token();
    }
}

#[test]
fn user_name_from_the_service_is_sanitized_in_messages() {
    let user_subject = "a\u{1b}[31mb\n\u{202e}c".into();
    let (service, sandbox) = earthscope(EarthScopeOptions { user_subject, ..fast_polling() }, "");
    let login = log_in(&service, &sandbox);
    let shown = login.err + &sandbox.broker(&["status"]).ends(0).out;
    assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("logged in as a [31mb"), "{shown:?}");
}

#[test]
fn refresh_token_in_an_error_response_is_ignored() {
    let (service, sandbox) = expired(Rotation::Keep);
    let stored = sandbox.record("earthscope")["grant"]["secret"].clone();
    for (status, other, code) in
        [(400, stored.clone(), 6), (400, json!("another-KANARIE"), 6), (200, stored.clone(), 4)]
    {
        service.forget_seen();
        let mut body = json!({ "refresh_token": other });
        if status == 400 {
            body["error"] = json!("invalid_request");
        }
        service.fault_always("token", Fault::Answer { status, headers: vec![], body: body.to_string() });
        let _ = sandbox.broker(&["token", "earthscope"]).ends(code);
        assert_eq!(service.count("token"), 1, "{status}");
        let after = &sandbox.record("earthscope")["grant"]["secret"];
        assert_eq!(*after, stored, "{status}: the login is unchanged");
    }
}
