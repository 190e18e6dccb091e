//! A login is kept: the journal of a renewal, lost answers, records of other versions.

use std::time::Duration;

use broker_e2e::{Sandbox, finish, signal};
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;

use crate::stage::{expired, logged_in};

#[test]
fn before_a_refresh_token_is_sent_the_record_says_so() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let during = sandbox.record("earthscope");
    assert!(during["grant"]["sent_at"].is_string(), "{during}");
    let _ = sandbox.broker(&["status", "earthscope"]).ends(0).says("a renewal started at 20");
    let _ = finish(child).token();
    let after = sandbox.record("earthscope");
    assert!(after["grant"]["sent_at"].is_null(), "{after}");
    assert!(after["revision"].as_u64() > during["revision"].as_u64());
}

/// Kills a renewal after the service has replaced the refresh token, before it answers.
fn killed_in_the_gap(service: &EarthScope, sandbox: &Sandbox) {
    service.fault("token", Fault::HangAfter);
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    while service.refreshes() == 0 {
        std::thread::yield_now();
    }
    signal(&child, "KILL");
    let _ = finish(child).ends(-1);
}

#[test]
fn a_loss_in_the_window_that_nobody_can_close_is_said_as_such() {
    let (service, sandbox) = expired(Rotation::RotateDetectReuse, 0);
    killed_in_the_gap(&service, &sandbox);
    let said = "a renewal was interrupted at 20";
    let run = sandbox.broker(&["token", "earthscope"]).ends(3).says(said);
    assert!(run.err.contains("; the service had already replaced the login"), "{}", run.err);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says(said);
    assert_eq!(service.count("token"), 2, "tried once, and a refused one never again");
    let _ = sandbox.broker(&["status", "earthscope"]).ends(0).says(said);
}

#[test]
fn a_period_of_grace_mends_a_kill_in_the_window() {
    let (service, sandbox) = expired(Rotation::RotateDetectReuse, 1);
    killed_in_the_gap(&service, &sandbox);
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null());
}

#[test]
fn a_login_ended_by_others_is_not_taken_for_a_cut_off_renewal() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.revoke_everything();
    let run = sandbox.broker(&["token", "earthscope"]).ends(3).says("no longer accepts");
    assert!(!run.err.contains("cut off"), "{}", run.err);
}

#[test]
fn a_request_that_surely_did_nothing_leaves_no_journal() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault_always("token", Fault::Status(429));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null(), "it was not even looked at");
    let url = service.url().to_owned();
    drop(service);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4).says(&url);
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null(), "it was not sent");
}

#[test]
fn a_lost_answer_is_asked_for_once_more_at_once() {
    for (rotation, grace) in [(Rotation::Keep, 0), (Rotation::Omit, 0), (Rotation::RotateDetectReuse, 1)] {
        let (service, sandbox) = expired(rotation, grace);
        service.fault("token", Fault::CutAfter);
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token));
        assert_eq!(service.count("token"), 2, "{rotation:?}");
    }
}

#[test]
fn answers_that_are_always_lost_are_no_loop() {
    let (service, sandbox) = expired(Rotation::Keep, 0);
    service.fault_always("token", Fault::CutAfter);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    assert_eq!(service.count("token"), 2);
    service.clear_faults();
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
fn a_lost_answer_that_cannot_be_had_again_is_said_as_such() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault("token", Fault::CutAfter);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("grant_refused");
    assert_eq!(service.count("token"), 2);
}

#[test]
fn a_record_of_the_first_version_is_read_and_what_it_does_not_know_is_kept() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    let mut record = sandbox.record("earthscope");
    // As version 0.1.0 wrote it.
    record.as_object_mut().expect("an object").remove("revision");
    record["failures"] = serde_json::json!({ "stac": {
        "at": "2026-11-22T01:00:00Z", "kind": "unavailable", "message": "m", "retry_at": "2026-11-22T01:00:00Z",
    }});
    for place in ["", "/issuer", "/grant", "/failures/stac"] {
        record.pointer_mut(place).expect("an object")["of_a_newer_version"] = place.into();
    }
    std::fs::write(sandbox.record_path("earthscope"), record.to_string()).expect("a record");
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let record = sandbox.record("earthscope");
    for place in ["", "/issuer", "/grant", "/failures/stac"] {
        let kept = &record.pointer(place).expect("an object")["of_a_newer_version"];
        assert_eq!(kept, place, "{record}");
    }
}

#[test]
fn a_refresh_token_in_the_ruins_of_an_answer_is_the_login_now() {
    let ruins = [r#""expires_in":1e400"#, "\"scope\":\"\\ud800\"", r#""a":[[[[["#];
    for ruin in ruins {
        let (service, sandbox) = expired(Rotation::Rotate, 0);
        let next = service.issue_refresh_token();
        let body = format!(r#"{{"access_token":"KANARIE-a","refresh_token" : "{next}",{ruin}}}"#);
        service.fault("token", Fault::Answer { status: 200, headers: Vec::new(), body });
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token), "{ruin}");
        assert_eq!(service.count("token"), 2, "{ruin}: asked again with what was saved");
    }
    // A refusal may repeat what was sent.
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    let body = r#"{"refresh_token":"KANARIE-b","error":1e400}"#.to_owned();
    service.fault("token", Fault::Answer { status: 400, headers: Vec::new(), body });
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
fn who_waited_hears_that_the_renewal_was_cut_off_too() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    killed_in_the_gap(&service, &sandbox);
    service.fault_always("token", Fault::Delay(Duration::from_millis(200)));
    let all: Vec<_> = (0..4).map(|_| sandbox.start(&["token", "earthscope"])).collect();
    for child in all {
        let _ = finish(child).ends(3).fails_with("grant_refused");
    }
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    let told = status["providers"][0]["last_failure"]["message"].as_str().expect("a message");
    assert!(told.contains("a renewal was interrupted at 20"), "{told}");
}

#[test]
fn a_process_that_was_stopped_takes_the_answer_that_came_meanwhile() {
    let options = EarthScopeOptions { rotation: Rotation::Rotate, ..Default::default() };
    let (service, sandbox) = logged_in(options, "timeout = \"400ms\"\n");
    sandbox.age("earthscope", TimeDelta::days(2));
    // Who waits twice as long for an answer that never comes.
    let silent = EarthDaily::start(EarthDailyOptions::default());
    silent.fault_always("token", Fault::Hang);
    let config =
        format!("[providers.earthdaily]\nauth_url = \"{}\"\ntimeout = \"800ms\"\n", silent.auth_url());
    let other = Sandbox::new().with_config(&config).with_env("EDS_SECRET", "standin-api-token");
    service.fault("token", Fault::Delay(Duration::from_millis(100)));
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    signal(&child, "STOP");
    // Longer than `timeout`, as a batch system or a person may.
    let _ = other.broker(&["token", "earthdaily"]).ends(4).fails_with("timeout");
    signal(&child, "CONT");
    let token = finish(child).token();
    assert!(service.access_is_live(&token));
}

#[test]
fn signals_of_batch_systems_wait_for_the_save_too() {
    for (name, number) in [("USR1", 10), ("USR2", 12), ("ALRM", 14), ("XCPU", 24), ("QUIT", 3)] {
        let (service, sandbox) = expired(Rotation::Rotate, 0);
        service.fault("token", Fault::Delay(Duration::from_millis(200)));
        let child = sandbox.start(&["token", "earthscope"]);
        assert!(service.wait_for("token", 1, Duration::from_secs(30)));
        signal(&child, name);
        let _ = finish(child).ends(128 + number);
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token), "{name}");
        assert_eq!(service.count("token"), 1, "{name}: it was saved");
    }
}

#[test]
fn a_service_that_renews_and_gives_no_token_is_not_asked_on_and_on() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault_always("token", Fault::edit(|answer| answer["access_token"] = serde_json::Value::Null));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4).fails_with("bad_response");
    assert_eq!(service.count("token"), 2);
    service.clear_faults();
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}
