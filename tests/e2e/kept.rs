//! Tests that logins survive interrupted renewals, lost responses and records of other versions.

use std::time::Duration;

use broker_e2e::{Sandbox, finish, signal};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;

use crate::stage::{earthdaily, expired, logged_in, start_request};

#[test]
fn refresh_request_time_is_saved_before_the_request_is_sent() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = start_request(&sandbox, &["token", "earthscope"], &service, "token");
    let during = sandbox.record("earthscope");
    let sent_at = during["grant"]["sent_at"].as_str().expect("a time")[..19].replace('T', " ");
    let _ = sandbox.broker(&["status", "earthscope"]).ends(0).says(&sent_at);
    let _ = finish(child).token();
    let after = sandbox.record("earthscope");
    assert!(after["grant"]["sent_at"].is_null(), "{after}");
    assert!(after["revision"].as_u64() > during["revision"].as_u64());
}

/// Kills the broker after the service has replaced the refresh token, and before the service responds.
fn kill_before_response(service: &EarthScope, sandbox: &Sandbox) {
    service.fault("token", Fault::HangAfter);
    let child = start_request(sandbox, &["token", "earthscope"], service, "token");
    while service.refreshes() == 0 {
        std::thread::yield_now();
    }
    signal(&child, "KILL");
    let _ = finish(child).ends(-1);
}

#[test]
fn error_says_that_a_killed_renewal_ended_the_login() {
    let (service, sandbox) = expired(Rotation::RotateDetectReuse, 0);
    kill_before_response(&service, &sandbox);
    let interrupted_at = " at 20";
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("grant_refused").says(interrupted_at);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says(interrupted_at);
    assert_eq!(service.count("token"), 2, "sent once more, then never again");
    let _ = sandbox.broker(&["status", "earthscope"]).ends(0).says(interrupted_at);
}

#[test]
fn login_survives_a_kill_if_old_refresh_token_still_works() {
    let (service, sandbox) = expired(Rotation::RotateDetectReuse, 1);
    kill_before_response(&service, &sandbox);
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null());
}

#[test]
fn revoked_login_is_not_reported_as_interrupted() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.revoke_everything();
    let run = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("grant_refused");
    assert!(!run.err.contains(" at 20"), "no time of an interruption: {}", run.err);
}

#[test]
fn failed_refresh_removes_the_request_time_from_the_record() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault_always("token", Fault::Status(429));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null(), "the service did not act");
    let url = service.url().to_owned();
    drop(service);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4).says(&url);
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null(), "it was not sent");
}

#[test]
fn refresh_request_is_repeated_if_its_response_is_lost() {
    for (rotation, grace) in [(Rotation::Keep, 0), (Rotation::Omit, 0), (Rotation::RotateDetectReuse, 1)] {
        let (service, sandbox) = expired(rotation, grace);
        service.fault("token", Fault::CutAfter);
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token));
        assert_eq!(service.count("token"), 2, "{rotation:?}");
    }
}

#[test]
fn refresh_without_usable_response_is_sent_only_twice() {
    let without_token = Fault::edit(|answer| answer["access_token"] = serde_json::Value::Null);
    for (rotation, fault, code) in [
        (Rotation::Keep, Fault::CutAfter, "network_unreachable"),
        (Rotation::Rotate, without_token, "bad_response"),
    ] {
        let (service, sandbox) = expired(rotation, 0);
        service.fault_always("token", fault);
        let _ = sandbox.broker(&["token", "earthscope"]).ends(4).fails_with(code);
        assert_eq!(service.count("token"), 2, "{code}");
        service.clear_faults();
        let _ = sandbox.broker(&["token", "earthscope"]).token();
    }
}

#[test]
fn error_says_that_a_lost_response_ended_the_login() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault("token", Fault::CutAfter);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("grant_refused").says(" at 20");
    assert_eq!(service.count("token"), 2);
}

#[test]
fn refresh_keeps_record_fields_of_a_newer_broker_version() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    let mut record = sandbox.record("earthscope");
    // Broker version 0.1.0 wrote records without the field `revision`.
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
        let field = &record.pointer(place).expect("an object")["of_a_newer_version"];
        assert_eq!(field, place, "{record}");
    }
}

#[test]
fn refresh_token_in_a_malformed_response_is_saved() {
    let malformed = [r#""expires_in":}"#, r#""scope" "x""#, r#""a":[[[[["#];
    for part in malformed {
        let (service, sandbox) = expired(Rotation::Rotate, 0);
        let next = service.issue_refresh_token();
        let body = format!(r#"{{"access_token":"KANARIE-a","refresh_token" : "{next}",{part}}}"#);
        service.fault("token", Fault::Answer { status: 200, headers: Vec::new(), body });
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token), "{part}");
        assert_eq!(service.count("token"), 2, "{part}: sent again with the saved refresh token");
    }
    // The broker ignores a refresh token in an error response, because the service may repeat the token of the request.
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    let body = r#"{"refresh_token":"KANARIE-b","error":}"#.to_owned();
    service.fault("token", Fault::Answer { status: 400, headers: Vec::new(), body });
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
fn processes_waiting_for_lock_report_that_kill_ended_login() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    kill_before_response(&service, &sandbox);
    service.fault_always("token", Fault::Delay(Duration::from_millis(200)));
    let all: Vec<_> = (0..4).map(|_| sandbox.start(&["token", "earthscope"])).collect();
    for child in all {
        let _ = finish(child).ends(3).fails_with("grant_refused").says(" at 20");
    }
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    let message = status["providers"][0]["last_failure"]["message"].as_str().expect("a message");
    assert!(message.contains(" at 20"), "{message}");
}

#[test]
fn service_response_is_read_after_stop_longer_than_timeout() {
    let options = EarthScopeOptions { rotation: Rotation::Rotate, ..Default::default() };
    let (service, sandbox) = logged_in(options, "timeout = \"400ms\"\n");
    sandbox.age("earthscope", TimeDelta::days(2));
    let (silent, other) = earthdaily("timeout = \"800ms\"\n");
    silent.fault_always("token", Fault::Hang);
    service.fault("token", Fault::Delay(Duration::from_millis(100)));
    let child = start_request(&sandbox, &["token", "earthscope"], &service, "token");
    signal(&child, "STOP");
    // `child` stays stopped for the 800 ms of this call, which is longer than `child`'s `timeout` of 400 ms.
    let _ = other.broker(&["token", "earthdaily"]).ends(4).fails_with("timeout");
    signal(&child, "CONT");
    let token = finish(child).token();
    assert!(service.access_is_live(&token));
}

#[test]
fn batch_system_signals_end_broker_only_after_token_is_saved() {
    let signals = [("USR1", 10), ("USR2", 12), ("ALRM", 14), ("XCPU", 24), ("QUIT", 3)];
    let more = [("ABRT", 6), ("VTALRM", 26), ("PROF", 27), ("IO", 29), ("PWR", 30)];
    for (name, number) in signals.into_iter().chain(more) {
        let (service, sandbox) = expired(Rotation::Rotate, 0);
        service.fault("token", Fault::Delay(Duration::from_millis(500)));
        let child = start_request(&sandbox, &["token", "earthscope"], &service, "token");
        signal(&child, name);
        let _ = finish(child).ends(128 + number);
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token), "{name}");
        assert_eq!(service.count("token"), 1, "{name}: it was saved");
    }
}
