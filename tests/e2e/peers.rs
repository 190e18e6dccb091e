//! Regression tests for bugs that other OAuth clients had. Each test names the client's issue.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::crowd::{read_until, same, start_with_one_stderr};
use crate::stage::earthscope;

const TOKEN: &[&str] = &["token", "earthscope"];

/// Starts an EarthScope fake server, and a sandbox configured for the server. `config` adds settings.
fn seismic(options: EarthScopeOptions, config: &str) -> (EarthScope, Sandbox) {
    earthscope(EarthScopeOptions { interval: Some(1), ..options }, &format!("{config}\n"))
}

fn rotating(rotation: Rotation) -> EarthScopeOptions {
    EarthScopeOptions { rotation, ..EarthScopeOptions::default() }
}

fn log_in(service: &EarthScope, sandbox: &Sandbox) {
    service.approve_all();
    let _ = sandbox.broker(&["login", "earthscope"]).ends(0);
}

fn status(sandbox: &Sandbox) -> Value {
    sandbox.broker(&["status", "earthscope", "--json"]).json()["providers"][0].take()
}

fn grant(sandbox: &Sandbox) -> Value {
    sandbox.record("earthscope")["grant"]["secret"].take()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Checks that bug aws/aws-cli#10628 does not occur: processes read a token cache that was only half written.
#[test]
fn readers_never_see_a_half_written_record() {
    let (service, sandbox) = seismic(rotating(Rotation::RotateDetectReuse), "");
    log_in(&service, &sandbox);
    // The `Arc`'s count tells readers when the writer has ended, even by a panic.
    let writing = Arc::new(());
    let running = Arc::downgrade(&writing);
    let until_done = |read: &dyn Fn()| {
        while running.strong_count() > 0 {
            read();
        }
    };
    std::thread::scope(|scope| {
        let sandbox = &sandbox;
        scope.spawn(move || {
            for _ in 0..40 {
                let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
            }
            drop(writing);
        });
        scope.spawn(|| until_done(&|| assert!(grant(sandbox).is_string())));
        scope.spawn(|| until_done(&|| drop(sandbox.broker(TOKEN).token())));
        until_done(&|| {
            let status = status(sandbox);
            assert_eq!(status["state"], "valid", "{status}");
            assert!(status["note"].as_str().is_none_or(|note| note.contains("renewal")), "{status}");
        });
    });
    assert_eq!((service.refreshes(), service.reuse_events()), (40, 0));
}

/// Checks that bug databricks/cli#6759 does not occur: after waiting for the lock, a process sent an old refresh token.
#[test]
fn process_that_waited_for_lock_sends_new_refresh_token() {
    let scopes = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let config = format!("scope = \"offline_access {}\"", scopes.join(" "));
    let (service, sandbox) = seismic(rotating(Rotation::RotateDetectReuse), &config);
    log_in(&service, &sandbox);
    // Each process requests a different scope, so each must refresh. The delay makes processes wait for the lock.
    service.fault_always("token", Fault::Delay(Duration::from_millis(50)));
    let start = |scope: &&str| sandbox.start(&["token", "earthscope", "--scope", scope]);
    let all: Vec<_> = scopes.iter().map(start).collect();
    let tokens: BTreeSet<_> = all.into_iter().map(|child| finish(child).token()).collect();
    assert_eq!(tokens.len(), scopes.len());
    assert!(tokens.iter().all(|token| service.access_is_live(token)));
    assert_eq!((service.refreshes(), service.reuse_events()), (scopes.len(), 0));
}

/// Checks that bug souz#711 does not occur: a response without a refresh token deleted the stored one.
#[test]
fn response_without_refresh_token_keeps_the_stored_one() {
    for left_out in [None, Some(Value::Null), Some(json!(""))] {
        let (service, sandbox) = seismic(rotating(Rotation::Omit), "");
        log_in(&service, &sandbox);
        let kept = grant(&sandbox);
        for renewal in 1..=2 {
            sandbox.age("earthscope", TimeDelta::days(2));
            if let Some(value) = left_out.clone() {
                service.fault("token", Fault::edit(move |answer| answer["refresh_token"] = value.clone()));
            }
            let _ = sandbox.broker(TOKEN).token();
            assert_eq!((service.refreshes(), grant(&sandbox)), (renewal, kept.clone()), "{left_out:?}");
        }
    }
}

/// ID tokens with `{"email":"a@example.org"}` and `{"email":"b@example.org"}`.
const OF_A: &str = "e30.eyJlbWFpbCI6ImFAZXhhbXBsZS5vcmcifQ.c2ln";
const OF_B: &str = "e30.eyJlbWFpbCI6ImJAZXhhbXBsZS5vcmcifQ.c2ln";

/// Stores user A's login with two tokens, a recorded failure and unknown fields. Returns all texts that identify A.
fn store_login_of_a(service: &EarthScope, sandbox: &Sandbox) -> Vec<String> {
    service.fault("token", Fault::edit(|answer| answer["id_token"] = OF_A.into()));
    log_in(service, sandbox);
    assert_eq!(status(sandbox)["account"], "a@example.org");
    let _ = sandbox.broker(&["token", "earthscope", "--scope", "a"]).token();
    service.fault("token", Fault::Html(418));
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).says("418");
    let mut record = sandbox.record("earthscope");
    record["later"] = "a newer version's, of A".into();
    record["grant"]["later"] = "a newer version's, of A".into();
    std::fs::write(sandbox.record_path("earthscope"), record.to_string()).expect("a record");
    let secret = |at: &str| text(record.pointer(at).expect(at));
    let secrets = ["/grant/secret", "/tokens//secret", "/tokens/a/secret"].map(secret);
    assert!(record["failures"][""]["message"].is_string());
    let words = ["a@example.org", "of A", "HTTP 418"].map(str::to_owned);
    secrets.into_iter().chain(words).collect()
}

/// Checks that bug java-questdb-client#52 does not occur: another user's login kept the first user's tokens.
#[test]
fn login_of_another_user_removes_data_of_the_first_user() {
    type Edit = fn(&mut Value);
    let answers: [(&str, Edit, Value); 3] = [
        ("all", |answer| answer["id_token"] = OF_B.into(), json!("b@example.org")),
        ("no account", |answer| answer["access_token"] = "opaque".into(), Value::Null),
        ("no refresh token", |answer| answer["refresh_token"] = Value::Null, json!("auth0|5f1e")),
    ];
    for (case, edit, account) in answers {
        let (service, sandbox) =
            seismic(rotating(Rotation::RotateDetectReuse), "scope = \"offline_access a\"");
        let of_a = store_login_of_a(&service, &sandbox);
        service.fault("token", Fault::edit(edit));
        log_in(&service, &sandbox);
        service.forget_seen();
        let record = sandbox.record("earthscope").to_string();
        for thing in &of_a {
            assert!(!record.contains(thing), "{case}: {thing} is still there");
        }
        let status = status(&sandbox);
        assert_eq!((&status["account"], &status["last_failure"]), (&account, &Value::Null), "{case}");
        let first = sandbox.broker(TOKEN).token();
        let scoped = sandbox.broker(&["token", "earthscope", "--scope", "a"]);
        sandbox.age("earthscope", TimeDelta::days(2));
        let renewed = sandbox.broker(TOKEN);
        let code = if case == "no refresh token" { 3 } else { 0 };
        let printed = [first, scoped.ends(code).out, renewed.ends(code).out].concat();
        let sent = format!("{:?}", service.seen());
        for thing in &of_a {
            assert!(!printed.contains(thing) && !sent.contains(thing), "{case}: {thing} was used");
        }
    }
}

/// Checks that bug kubelogin#904 does not occur: each of several concurrent processes opened a browser.
#[test]
fn concurrent_processes_with_login_flag_start_one_login() {
    let (service, sandbox) = seismic(EarthScopeOptions::default(), "");
    service.approve_all();
    // In about half of the rounds, a second process starts before the first has logged in, and must wait for the login.
    for round in 1..=6 {
        let all: Vec<_> = (0..8).map(|_| sandbox.start(&["token", "earthscope", "--login"])).collect();
        let runs: Vec<_> = all.into_iter().map(finish).collect();
        assert_eq!(service.count("device"), round, "the others use the token of the one login");
        assert!(service.access_is_live(&same(runs)));
        let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    }
}

/// Checks that bug kubelogin#904 does not occur in `broker login`: each concurrent process asked the user to log in.
#[test]
fn concurrent_login_commands_run_one_at_a_time() {
    let (service, sandbox) = seismic(EarthScopeOptions::default(), "");
    let (mut told, all) = start_with_one_stderr(&sandbox, &["login", "earthscope"], 3);
    read_until(&mut told, "waiting for process", 2);
    assert_eq!(service.user_codes().len(), 1);
    service.approve_all();
    for run in all.into_iter().map(finish) {
        let _: Run = run.ends(0);
    }
}

/// Returns whether the broker reuses a new token of this lifetime, or `None` if the test was too slow to tell.
fn is_reused(service: &EarthScope, sandbox: &Sandbox, lifetime: u64) -> Option<bool> {
    let (began, before) = (Instant::now(), service.count("token"));
    let made = sandbox.broker(&["token", "earthscope", "--force"]).token();
    let again: Vec<_> = (0..3).map(|_| sandbox.broker(TOKEN).token()).collect();
    let reused = again.iter().all(|token| *token == made) && service.count("token") == before + 1;
    (began.elapsed() < Duration::from_secs(lifetime) / 2).then_some(reused)
}

/// Checks that bug deadline-cloud#431 does not occur: every call renewed a token with a short lifetime.
#[test]
fn short_lived_token_is_reused_until_renewal_is_due() {
    for lifetime in [5, 20, 60] {
        let options = EarthScopeOptions { token_life: lifetime, ..rotating(Rotation::RotateDetectReuse) };
        let (service, sandbox) = seismic(options, "");
        log_in(&service, &sandbox);
        let reused =
            std::iter::repeat_with(|| is_reused(&service, &sandbox, lifetime)).take(10).flatten().next();
        assert_eq!(reused, Some(true), "a lifetime of {lifetime} s");
    }
}

/// Checks that bug gumroad-cli#175 does not occur: a temporary fault of the service or the network ended the login.
#[test]
fn temporary_service_or_network_fault_keeps_the_login() {
    let faults = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Html(200),
        Fault::Html(401),
        Fault::Html(403),
        Fault::Garbage,
        Fault::Hang,
        // With this fault, the service has replaced the refresh token, and accepts the old one once more.
        Fault::HangAfter,
        // After these faults, the broker repeats the request without a pause.
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Truncated,
    ];
    let options = EarthScopeOptions { refresh_grace: 1, ..rotating(Rotation::RotateDetectReuse) };
    let (service, sandbox) = seismic(options, "timeout = \"1s\"");
    log_in(&service, &sandbox);
    for fault in faults {
        sandbox.age("earthscope", TimeDelta::days(2));
        let kept = grant(&sandbox);
        service.fault("token", fault.clone());
        let run = sandbox.broker(TOKEN);
        if matches!(fault, Fault::CutBefore | Fault::CutAfter | Fault::Truncated) {
            assert!(service.access_is_live(&run.token()), "{fault:?}");
            continue;
        }
        let run = run.ends(4);
        assert!(!run.err.contains("login"), "{fault:?}: {}", run.err);
        assert_eq!(grant(&sandbox), kept, "{fault:?}");
        let status = status(&sandbox);
        assert_eq!((&status["state"], &status["grant"]), (&json!("expired"), &json!(true)), "{fault:?}");
        let _ = sandbox.broker(TOKEN).token();
    }
    assert_eq!(service.reuse_events(), 0);
}
