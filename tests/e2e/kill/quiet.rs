//! Tests that a call after a killed renewal does not send the same refresh token while the first request may be on its
//! way: a service that gets both ends the login.

use std::process::Child;
use std::time::Duration;

use broker_e2e::Sandbox;
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{DateTime, TimeDelta, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::TOKEN;
use crate::stage::{log_in, logged_in, start_request};

/// Logs in at a service that rotates refresh tokens, and lets the token expire.
fn scene(rotation: Rotation, grace: usize, config: &str) -> (EarthScope, Sandbox) {
    let options = EarthScopeOptions { rotation, refresh_grace: grace, ..EarthScopeOptions::default() };
    let (service, sandbox) = logged_in(options, config);
    sandbox.age("earthscope", TimeDelta::days(2));
    (service, sandbox)
}

fn kill(mut child: impl std::ops::DerefMut<Target = Child>) {
    kill_process(Pid::from_child(&child), Signal::KILL).expect("killed");
    let _ = child.wait().expect("ended");
}

/// Kills a renewal whose request has arrived at the service.
fn kill_renewal(service: &EarthScope, sandbox: &Sandbox) {
    kill(start_request(sandbox, &TOKEN, service, "token"));
}

fn time(sandbox: &Sandbox, name: &str) -> DateTime<Utc> {
    let time = &sandbox.record("earthscope")["grant"][name];
    time.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name}: {time}"))
}

#[test]
fn calls_after_killed_renewals_wait_before_they_send() {
    let (service, sandbox) = scene(Rotation::RotateDetectReuse, 0, "timeout = \"1s\"\n");
    service.fault_always("token", Fault::Hang);
    kill_renewal(&service, &sandbox);
    let mut last = time(&sandbox, "sent_at");
    for round in 0..2 {
        kill_renewal(&service, &sandbox);
        let again = time(&sandbox, "sent_again_at");
        let waited = again - last;
        assert!(waited >= TimeDelta::seconds(1), "round {round}: sent again after {waited}");
        last = again;
    }
    // The service processed no request, so the login works.
    service.clear_faults();
    let token = sandbox.broker(&TOKEN).token();
    assert!(service.access_is_live(&token) && service.reuse_events() == 0);
}

#[test]
fn stored_token_serves_after_a_killed_renewal() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let stored = sandbox.broker(&TOKEN).token();
    sandbox.age("earthscope", TimeDelta::hours(24) - TimeDelta::minutes(30));
    service.fault_always("token", Fault::Hang);
    kill_renewal(&service, &sandbox);
    for _ in 0..3 {
        let run = sandbox.broker(&TOKEN);
        assert_eq!((run.err.as_str(), run.clone().token()), ("", stored.clone()));
    }
    assert_eq!(service.count("token"), 1, "no call sends the refresh token again");
    sandbox.age("earthscope", TimeDelta::seconds(10));
    service.clear_faults();
    assert_ne!(sandbox.broker(&TOKEN).token(), stored, "after the quiet time, the token is renewed");
}

#[test]
fn delayed_request_of_a_killed_renewal_is_processed_first() {
    for (grace, code) in [(1, 0), (0, 3)] {
        let (service, sandbox) = scene(Rotation::RotateDetectReuse, grace, "timeout = \"3s\"\n");
        let before = service.refreshes();
        service.fault("token", Fault::Delay(Duration::from_secs(1)));
        kill_renewal(&service, &sandbox);
        let interrupted = time(&sandbox, "sent_at").format("%F %T UTC").to_string();
        let next = sandbox.broker(&TOKEN).says("waiting");
        assert_eq!(next.code, code, "{next:?}");
        if code == 0 {
            // The service accepts the old refresh token once more, after it has replaced it.
            assert_eq!((service.refreshes() - before, service.reuse_events()), (2, 0));
            let forced = sandbox.broker(&["token", "earthscope", "--force"]).token();
            assert!(service.access_is_live(&forced), "the login works");
        } else {
            // Nobody can know the new refresh token, which only the killed process received.
            assert_eq!(service.refreshes() - before, 1);
            assert!(next.err.contains(&interrupted), "the interruption is named: {}", next.err);
            let _ = next.fails_with("grant_refused");
        }
    }
}

#[test]
fn refusal_after_a_later_renewal_names_the_killed_one() {
    let (service, sandbox) = scene(Rotation::RotateDetectReuse, 1, "timeout = \"1s\"\n");
    service.fault("token", Fault::HangAfter);
    kill_renewal(&service, &sandbox);
    let interrupted = time(&sandbox, "sent_at").format("%F %T UTC").to_string();
    let _ = sandbox.broker(&TOKEN).token();
    service.revoke_everything();
    let refused = sandbox.broker(&["token", "earthscope", "--force"]).ends(3);
    assert!(
        refused.err.contains(&interrupted) && refused.err.contains("broker login earthscope"),
        "{refused:?}"
    );
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    let note = status["providers"][0]["note"].as_str().expect("a note").to_owned();
    assert!(note.contains(&interrupted), "{note}");
    let doctor = sandbox.broker(&["doctor", "earthscope", "--offline"]);
    assert!(doctor.out.contains(&interrupted), "{}", doctor.out);
    log_in(&service, &sandbox);
    assert_eq!(sandbox.record("earthscope")["interrupted_at"], Value::Null);
}
