//! What other clients got wrong, each with the issue that tells of it: none of it must happen here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::crowd::{read_until, same, start_with_one_stderr};

const TOKEN: &[&str] = &["token", "earthscope"];

/// A service and a home that knows it, with these lines of configuration beside.
fn seismic(options: EarthScopeOptions, config: &str) -> (EarthScope, Sandbox) {
    let service = EarthScope::start(EarthScopeOptions { interval: Some(1), ..options });
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\n{config}\n", service.url());
    (service, Sandbox::new().with_config(&config))
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

/// aws/aws-cli#10628: the cache was cut short and written in place, and who read meanwhile saw half of it.
#[test]
fn who_reads_while_it_is_written_sees_the_whole() {
    let (service, sandbox) = seismic(rotating(Rotation::RotateDetectReuse), "");
    log_in(&service, &sandbox);
    // Dropped when the writer ends, however it ends.
    let writing = Arc::new(());
    let goes_on = Arc::downgrade(&writing);
    let meanwhile = |look: &dyn Fn()| {
        while goes_on.strong_count() > 0 {
            look();
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
        scope.spawn(|| meanwhile(&|| assert!(grant(sandbox).is_string())));
        scope.spawn(|| meanwhile(&|| drop(sandbox.broker(TOKEN).token())));
        meanwhile(&|| {
            let status = status(sandbox);
            assert_eq!(status["state"], "valid", "{status}");
            let note = status["note"].as_str().unwrap_or("a renewal started");
            assert!(note.starts_with("a renewal started"), "{status}");
        });
    });
    assert_eq!((service.refreshes(), service.reuse_events()), (40, 0));
}

/// databricks/cli#6759: the record was read again under the lock, and the refresh token read before was sent.
#[test]
fn who_waited_sends_the_refresh_token_that_is_there_now() {
    let scopes = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let config = format!("scope = \"offline_access {}\"", scopes.join(" "));
    let (service, sandbox) = seismic(rotating(Rotation::RotateDetectReuse), &config);
    log_in(&service, &sandbox);
    // Each wants a token of its own, so each who waited must ask, with what the one before left.
    service.fault_always("token", Fault::Delay(Duration::from_millis(50)));
    let start = |scope: &&str| sandbox.start(&["token", "earthscope", "--scope", scope]);
    let all: Vec<_> = scopes.iter().map(start).collect();
    let tokens: BTreeSet<_> = all.into_iter().map(|child| finish(child).token()).collect();
    assert_eq!(tokens.len(), scopes.len());
    assert!(tokens.iter().all(|token| service.access_is_live(token)));
    assert_eq!((service.refreshes(), service.reuse_events()), (scopes.len(), 0));
}

/// souz#711: an answer without a refresh token overwrote the stored one.
#[test]
fn an_answer_without_a_refresh_token_leaves_the_stored_one() {
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

/// Somebody's ID token: `{"email":"a@example.org"}`, `{"email":"b@example.org"}`.
const OF_A: &str = "e30.eyJlbWFpbCI6ImFAZXhhbXBsZS5vcmcifQ.c2ln";
const OF_B: &str = "e30.eyJlbWFpbCI6ImJAZXhhbXBsZS5vcmcifQ.c2ln";

/// A's login with all that a record can hold: two tokens, a failure, fields of newer versions. What is A's in it.
fn held_of_a(service: &EarthScope, sandbox: &Sandbox) -> Vec<String> {
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

/// java-questdb-client#52: after a new login, things of whoever was logged in before were still in effect.
#[test]
fn a_login_as_somebody_else_leaves_nothing_of_the_first() {
    type Edit = fn(&mut Value);
    let answers: [(&str, Edit, Value); 3] = [
        ("all", |answer| answer["id_token"] = OF_B.into(), json!("b@example.org")),
        ("nobody", |answer| answer["access_token"] = "opaque".into(), Value::Null),
        ("no refresh token", |answer| answer["refresh_token"] = Value::Null, json!("auth0|5f1e")),
    ];
    for (case, edit, account) in answers {
        let (service, sandbox) =
            seismic(rotating(Rotation::RotateDetectReuse), "scope = \"offline_access a\"");
        let of_a = held_of_a(&service, &sandbox);
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

/// kubelogin#904: each process that found no login opened a browser of its own.
#[test]
fn many_who_log_in_if_needed_begin_one_login() {
    let (service, sandbox) = seismic(EarthScopeOptions::default(), "");
    service.approve_all();
    // That several find no login before the first of them begins one takes luck: it is there in half of the rounds.
    for round in 1..=6 {
        let all: Vec<_> = (0..8).map(|_| sandbox.start(&["token", "earthscope", "--login"])).collect();
        let runs: Vec<_> = all.into_iter().map(finish).collect();
        assert_eq!(service.count("device"), round, "the others use what the one login gave");
        assert!(service.access_is_live(&same(runs)));
        let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    }
}

/// kubelogin#904, of logins that were asked for: a person sees one code, then the next.
#[test]
fn logins_go_one_at_a_time() {
    let (service, sandbox) = seismic(EarthScopeOptions::default(), "");
    let (mut told, all) = start_with_one_stderr(&sandbox, &["login", "earthscope"], 3);
    read_until(&mut told, "waiting for process", 2);
    assert_eq!(service.user_codes().len(), 1);
    service.approve_all();
    for run in all.into_iter().map(finish) {
        let _: Run = run.ends(0);
    }
}

/// Whether a token of that life is served as it is at once after it was made; `None` if this took too long to tell.
fn is_held_at_once(service: &EarthScope, sandbox: &Sandbox, life: u64) -> Option<bool> {
    let (began, before) = (Instant::now(), service.count("token"));
    let made = sandbox.broker(&["token", "earthscope", "--force"]).token();
    let again: Vec<_> = (0..3).map(|_| sandbox.broker(TOKEN).token()).collect();
    let held = again.iter().all(|token| *token == made) && service.count("token") == before + 1;
    (began.elapsed() < Duration::from_secs(life) / 2).then_some(held)
}

/// deadline-cloud#431: the window was as long as the life, so every call asked for a new token.
#[test]
fn a_token_of_a_short_life_is_held_too() {
    for life in [5, 20, 60] {
        let options = EarthScopeOptions { token_life: life, ..rotating(Rotation::RotateDetectReuse) };
        let (service, sandbox) = seismic(options, "");
        log_in(&service, &sandbox);
        let held =
            std::iter::repeat_with(|| is_held_at_once(&service, &sandbox, life)).take(10).flatten().next();
        assert_eq!(held, Some(true), "a life of {life} s");
    }
}

/// gumroad-cli#175: a blip of the service or the network ended the login.
#[test]
fn a_blip_at_a_renewal_is_no_lost_login() {
    let blips = [
        Fault::Status(500),
        Fault::Status(503),
        Fault::Html(200),
        Fault::Html(401),
        Fault::Html(403),
        Fault::Garbage,
        Fault::Hang,
        // The service acted: the refresh token is spent, and its grace is needed.
        Fault::HangAfter,
        // Sent once more at once.
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Truncated,
    ];
    let options = EarthScopeOptions { refresh_grace: 1, ..rotating(Rotation::RotateDetectReuse) };
    let (service, sandbox) = seismic(options, "timeout = \"1s\"");
    log_in(&service, &sandbox);
    for blip in blips {
        sandbox.age("earthscope", TimeDelta::days(2));
        let kept = grant(&sandbox);
        service.fault("token", blip.clone());
        let run = sandbox.broker(TOKEN);
        if matches!(blip, Fault::CutBefore | Fault::CutAfter | Fault::Truncated) {
            assert!(service.access_is_live(&run.token()), "{blip:?}");
            continue;
        }
        let run = run.ends(4);
        assert!(!run.err.contains("login"), "{blip:?}: {}", run.err);
        assert_eq!(grant(&sandbox), kept, "{blip:?}");
        let status = status(&sandbox);
        assert_eq!((&status["state"], &status["grant"]), (&json!("expired"), &json!(true)), "{blip:?}");
        let _ = sandbox.broker(TOKEN).token();
    }
    assert_eq!(service.reuse_events(), 0);
}
