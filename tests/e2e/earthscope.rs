//! EarthScope: a person's login, a machine's secret, renewal and the end of it.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use broker_e2e::{Run, Sandbox, assert_no_secret, finish};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::json;

const MACHINE: &str = "m2m-KANARIE";

const A_MOMENT: Duration = Duration::from_secs(30);

fn service(rotation: Rotation) -> EarthScope {
    EarthScope::start(EarthScopeOptions { rotation, interval: Some(1), ..EarthScopeOptions::default() })
}

fn with(service: &EarthScope) -> Sandbox {
    Sandbox::new().with_config(&format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url()))
}

fn log_in(service: &EarthScope, sandbox: &Sandbox) -> Run {
    service.approve_all();
    sandbox.broker(&["login", "earthscope", "--no-browser"]).ends(0)
}

#[test]
fn a_person_logs_in_and_the_token_is_held() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = with(&service);
    let mut login = sandbox.start(&["login", "earthscope"]);
    let mut lines = BufReader::new(login.stderr.take().expect("stderr")).lines().map_while(Result::ok);
    // URL and code are always shown, also where no terminal is.
    let url = lines.find(|line| line.contains("/activate")).expect("the page");
    let code = service.user_codes().pop().expect("a code");
    assert!(url.contains(service.url()) && url.ends_with(&format!(" the code {code}")), "{url}");
    assert!(service.wait_for("token", 1, A_MOMENT), "it polls");
    service.approve(&code);
    let end: Vec<_> = lines.collect();
    assert_no_secret("stderr", &end.join("\n"));
    let run = finish(login).ends(0);
    assert_eq!(run.out, "", "stdout is for answers");
    assert!(end.last().is_some_and(|line| line.starts_with("earthscope: logged in as ")), "{end:?}");

    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let asked = service.seen().len();
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    assert_eq!(service.seen().len(), asked, "held: nothing is asked");
}

#[test]
fn without_a_login_the_command_is_named() {
    let service = service(Rotation::Keep);
    let run = with(&service).broker(&["token", "earthscope"]).ends(3).says("broker login earthscope");
    assert_eq!(run.out, "");
    assert!(service.seen().is_empty(), "token never starts a login by itself");
}

#[test]
fn token_logs_in_if_it_is_told_to() {
    let service = service(Rotation::Keep);
    service.approve_all();
    let sandbox = with(&service);
    let run = sandbox.broker(&["token", "earthscope", "--login"]).says("logged in");
    assert!(service.access_is_live(&run.token()));
}

#[test]
fn tokens_are_renewed_whether_the_refresh_token_rotates_or_not() {
    for rotation in [Rotation::Keep, Rotation::Omit, Rotation::Rotate, Rotation::RotateDetectReuse] {
        let service = service(rotation);
        let sandbox = with(&service);
        let _ = log_in(&service, &sandbox);
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
        let held = sandbox.record("earthscope")["grant"]["secret"].clone();
        assert!(service.is_live(held.as_str().expect("a refresh token")), "{rotation:?}");
    }
}

#[test]
fn a_refused_refresh_token_asks_for_a_login_and_is_not_tried_again() {
    let service = service(Rotation::Keep);
    let sandbox = with(&service);
    let _ = log_in(&service, &sandbox);
    service.revoke_everything();
    sandbox.age("earthscope", TimeDelta::days(2));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says("broker login earthscope");
    let asked = service.seen().len();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says("no longer accepts");
    assert_eq!(service.seen().len(), asked);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["state"], "login_required");
    // A new login mends it.
    let _ = log_in(&service, &sandbox);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
fn denied_is_refused_and_expired_asks_again() {
    let denied = service(Rotation::Keep);
    denied.deny_all();
    let _ = with(&denied).broker(&["login", "earthscope"]).ends(6).says("denied");
    let expired =
        EarthScope::start(EarthScopeOptions { code_life: 1, interval: Some(1), ..Default::default() });
    let _ = with(&expired)
        .broker(&["login", "earthscope"])
        .ends(3)
        .says("expired")
        .says("broker login earthscope");
}

#[test]
fn a_machine_needs_no_login() {
    let options = EarthScopeOptions { client_secret: Some(MACHINE.into()), ..EarthScopeOptions::default() };
    let service = EarthScope::start(options);
    let sandbox = with(&service).with_env("BROKER_PROVIDERS__EARTHSCOPE__CLIENT_SECRET__ENV", "THE_SECRET");
    let sandbox = sandbox.with_env("THE_SECRET", MACHINE);
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let seen = service.seen().pop().expect("a request");
    assert_eq!(seen.header("authorization"), None, "no Basic");
    let form = seen.form();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["audience"], "https://api.earthscope.org");
    assert_eq!(form.len(), 4, "no scope");
    let wrong = sandbox.with_env("THE_SECRET", "another KANARIE");
    let _ = wrong.broker(&["token", "earthscope"]).ends(6);
}

#[test]
fn a_person_and_a_machine_never_mix() {
    let options = EarthScopeOptions {
        client_secret: Some(MACHINE.into()),
        interval: Some(1),
        rotation: Rotation::RotateDetectReuse,
        ..EarthScopeOptions::default()
    };
    let service = EarthScope::start(options);
    let sandbox = with(&service);
    let _ = log_in(&service, &sandbox);
    let persons = sandbox.broker(&["token", "earthscope"]).token();
    let as_machine =
        format!("[providers.earthscope]\ndomain = \"{}\"\nclient_secret = \"{MACHINE}\"\n", service.url());
    let as_person = std::fs::read_to_string(sandbox.config_path()).expect("a file");
    sandbox.write_config(&as_machine);
    let machines = sandbox.broker(&["token", "earthscope"]).token();
    assert_ne!(persons, machines, "the person's token is not the machine's");
    // The machine's write did not erase the person's login.
    sandbox.write_config(&as_person);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), persons);
    sandbox.age("earthscope", TimeDelta::days(2));
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    assert_eq!(service.refreshes(), 1);
}

#[test]
fn another_issuer_is_not_sent_the_login() {
    let (first, second) = (service(Rotation::Keep), service(Rotation::Keep));
    let sandbox = with(&first);
    let _ = log_in(&first, &sandbox);
    sandbox.age("earthscope", TimeDelta::days(2));
    sandbox.write_config(&format!("[providers.earthscope]\ndomain = \"{}\"\n", second.url()));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says(first.url()).says(second.url());
    assert!(second.seen().is_empty());
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["state"], "login_required");
}

#[test]
fn a_refresh_token_from_elsewhere_begins_a_record() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = with(&service);
    let token = service.issue_refresh_token();
    let _ = sandbox
        .broker_reading(&["login", "earthscope", "--refresh-token-stdin"], &format!("{token}\n"))
        .ends(0);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    // A wrong one replaces nothing.
    let _ =
        sandbox.broker_reading(&["login", "earthscope", "--refresh-token-stdin"], "wrong-KANARIE").ends(6);
    sandbox.age("earthscope", TimeDelta::days(2));
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    let _ = sandbox.broker_reading(&["login", "earthscope", "--refresh-token-stdin"], "\n").ends(2);
}

#[test]
fn a_refresh_token_in_the_environment_begins_a_record() {
    let service = service(Rotation::RotateDetectReuse);
    let bootstrap = service.issue_refresh_token();
    let sandbox = with(&service).with_env("ES_OAUTH2__REFRESH_TOKEN", &bootstrap);
    for renewal in 1..=3 {
        let _ = sandbox.broker(&["token", "earthscope"]).token();
        assert_eq!(service.refreshes(), renewal, "the rotated one is used from then on");
        sandbox.age("earthscope", TimeDelta::days(2));
    }
    assert_eq!(service.reuse_events(), 0);
    // Once it is refused, it is not tried for ever.
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    let asked = service.seen().len();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    assert_eq!(service.seen().len(), asked);
}

#[test]
fn logout_revokes_and_forgets() {
    let service = service(Rotation::Rotate);
    let sandbox = with(&service);
    let _ = log_in(&service, &sandbox);
    let held = sandbox.record("earthscope")["grant"]["secret"].as_str().expect("a refresh token").to_owned();
    // Nobody is there: nothing is forgotten.
    service.fault_always("revoke", Fault::CutBefore);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(4).says("--local");
    assert!(sandbox.record_path("earthscope").exists());
    service.clear_faults();
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0).says("revoked");
    assert_eq!(service.revoked(), std::slice::from_ref(&held));
    let seen = service.seen().pop().expect("a request");
    assert_eq!(seen.json(), json!({ "client_id": "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0", "token": held }));
    assert!(!sandbox.record_path("earthscope").exists());
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    let _ = sandbox.broker(&["logout", "earthscope"]).ends(0).says("not logged in");
}

#[test]
fn a_local_logout_asks_nobody() {
    let service = service(Rotation::Keep);
    let sandbox = with(&service);
    let _ = log_in(&service, &sandbox);
    let asked = service.seen().len();
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    assert_eq!(service.seen().len(), asked);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
}

#[test]
fn sixty_four_processes_make_one_exchange() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = with(&service);
    let _ = log_in(&service, &sandbox);
    sandbox.age("earthscope", TimeDelta::days(2));
    let all: Vec<_> = (0..64).map(|_| sandbox.start(&["token", "earthscope"])).collect();
    let tokens: Vec<_> = all.into_iter().map(|child| finish(child).token()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "all have the same token");
    assert!(service.access_is_live(&tokens[0]));
    assert_eq!((service.refreshes(), service.reuse_events()), (1, 0));
}

#[test]
fn a_signal_waits_for_the_save() {
    for signal in ["INT", "TERM", "HUP"] {
        let service = service(Rotation::RotateDetectReuse);
        let sandbox = with(&service);
        let _ = log_in(&service, &sandbox);
        sandbox.age("earthscope", TimeDelta::days(2));
        service.forget_seen();
        // The service has rotated the refresh token, and its answer takes a while.
        service.fault("token", Fault::Delay(Duration::from_millis(300)));
        let child = sandbox.start(&["token", "earthscope"]);
        assert!(service.wait_for("token", 1, A_MOMENT));
        broker_e2e::signal(&child, signal);
        let run = finish(child);
        assert!(run.code > 128, "{signal}: it ends by the signal: {run:?}");
        let _ = sandbox.broker(&["token", "earthscope"]).token();
        assert_eq!((service.refreshes(), service.reuse_events()), (1, 0), "{signal}");
    }
}

#[test]
fn ctrl_c_leaves_a_login_cleanly() {
    let service = service(Rotation::Keep);
    let sandbox = with(&service);
    let child = sandbox.start(&["login", "earthscope", "--no-browser"]);
    assert!(service.wait_for("token", 1, A_MOMENT));
    broker_e2e::signal(&child, "INT");
    assert_eq!(finish(child).code, 130);
    assert!(!sandbox.record_path("earthscope").exists());
    let _ = log_in(&service, &sandbox);
}

#[test]
fn min_ttl_and_force_get_new_tokens() {
    let service =
        EarthScope::start(EarthScopeOptions { token_life: 7200, interval: Some(1), ..Default::default() });
    let sandbox = with(&service);
    let _ = log_in(&service, &sandbox);
    let first = sandbox.broker(&["token", "earthscope", "--min-ttl", "1h"]).token();
    sandbox.age("earthscope", TimeDelta::minutes(65));
    let second = sandbox.broker(&["token", "earthscope", "--min-ttl", "1h"]).token();
    assert_ne!(first, second);
    let third = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_ne!(second, third);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), third);
    let _ = sandbox.broker(&["token", "earthscope", "--expires", "7d"]).ends(2).says("--expires");
    let _ = sandbox.broker(&["token", "earthscope", "--min-ttl", "3h"]).ends(0).says("--min-ttl");
}

#[test]
fn a_rotated_refresh_token_is_kept_whatever_else_is_odd() {
    for key in ["access_token", "token_type"] {
        let service = service(Rotation::RotateDetectReuse);
        let sandbox = with(&service);
        let _ = log_in(&service, &sandbox);
        sandbox.age("earthscope", TimeDelta::days(2));
        service.fault("token", Fault::edit(move |answer| answer[key] = serde_json::Value::Null));
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token));
        assert_eq!(service.reuse_events(), 0, "without {key}");
    }
}

#[test]
fn trouble_with_a_final_status_is_still_trouble() {
    for code in ["temporarily_unavailable", "server_error"] {
        let service = service(Rotation::Keep);
        let sandbox = with(&service);
        let _ = log_in(&service, &sandbox);
        sandbox.age("earthscope", TimeDelta::days(2));
        let body = json!({ "error": code }).to_string();
        service.fault("token", Fault::Answer { status: 400, headers: vec![], body });
        let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
        let _ = sandbox.broker(&["token", "earthscope"]).token();
    }
}

#[test]
fn what_a_service_says_does_not_steer_the_terminal() {
    let service = EarthScope::start(EarthScopeOptions {
        user_subject: "a\u{1b}[31mb\n\u{202e}c".into(),
        interval: Some(1),
        ..EarthScopeOptions::default()
    });
    let sandbox = with(&service);
    let login = log_in(&service, &sandbox);
    let shown = login.err + &sandbox.broker(&["status"]).ends(0).out;
    assert!(!shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("logged in as a [31mb"), "{shown:?}");
}

#[test]
fn a_refusal_that_repeats_our_refresh_token_is_no_rotation() {
    let service = service(Rotation::Keep);
    let sandbox = with(&service);
    let _ = log_in(&service, &sandbox);
    sandbox.age("earthscope", TimeDelta::days(2));
    let held = sandbox.record("earthscope")["grant"]["secret"].clone();
    for (status, other, code) in
        [(400, held.clone(), 6), (400, json!("another-KANARIE"), 6), (200, held.clone(), 4)]
    {
        service.forget_seen();
        let mut body = json!({ "refresh_token": other });
        if status == 400 {
            body["error"] = json!("invalid_request");
        }
        service.fault_always("token", Fault::Answer { status, headers: vec![], body: body.to_string() });
        let _ = sandbox.broker(&["token", "earthscope"]).ends(code);
        assert_eq!(service.count("token"), 1, "{status}");
        assert_eq!(sandbox.record("earthscope")["grant"]["secret"], held, "{status}: the login is as it was");
    }
}
