//! Tests `--rejected`, with which the caller reports a token that the service has rejected.

use broker_e2e::{Run, Sandbox, finish, spawn};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;

use crate::stage::{carbonmapper, fast_polling, logged_in};

fn seismic() -> (EarthScope, Sandbox, String) {
    let options = EarthScopeOptions { rotation: Rotation::RotateDetectReuse, ..fast_polling() };
    let (service, sandbox) = logged_in(options, "");
    let stored = sandbox.broker(&["token", "earthscope"]).token();
    (service, sandbox, stored)
}

fn reject(sandbox: &Sandbox, token: &str) -> Run {
    sandbox.broker_reading(&["token", "earthscope", "--rejected-stdin"], token)
}

#[test]
fn token_reported_as_rejected_twice_is_replaced_once() {
    let (service, sandbox, first) = seismic();
    let second = reject(&sandbox, &format!("{first}\n")).token();
    assert_ne!(second, first);
    // A caller that rejects the old token again gets the new token without a request.
    assert_eq!(reject(&sandbox, &first).token(), second);
    assert_eq!(reject(&sandbox, "a token of long ago").token(), second);
    assert_eq!(service.count("token"), 1);
}

#[test]
fn token_rejected_within_30_s_of_its_issue_is_an_error() {
    let (service, sandbox, first) = seismic();
    let second = reject(&sandbox, &first).token();
    let _ = reject(&sandbox, &second).ends(4).fails_with("token_rejected");
    assert_eq!(service.count("token"), 1);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), second, "it is still stored");
    sandbox.age("earthscope", TimeDelta::seconds(31));
    assert_ne!(reject(&sandbox, &second).token(), second);
    assert_eq!((service.count("token"), service.reuse_events()), (2, 0));
}

#[test]
fn rejected_flag_without_token_on_stdin_renews_stored_token() {
    let (service, sandbox, first) = seismic();
    let second = sandbox.broker(&["token", "earthscope", "--rejected"]).token();
    assert_ne!(second, first);
    // A second `--rejected` within 30 seconds does not replace the new token.
    assert_eq!(sandbox.broker(&["token", "earthscope", "--rejected"]).token(), second);
    assert_eq!(service.count("token"), 1);
}

#[test]
fn rejected_token_is_renewed_once_by_concurrent_calls() {
    let (service, sandbox, first) = seismic();
    let file = sandbox.home().join("rejected");
    sandbox.write(&file, &first);
    let all: Vec<_> = (0..16)
        .map(|_| {
            let words = ["token", "earthscope", "--rejected-stdin"];
            let mut command = sandbox.command(&words);
            command.stdin(std::fs::File::open(&file).expect("the file"));
            spawn(command, &words)
        })
        .collect();
    let all: Vec<_> = all.into_iter().map(|child| finish(child).token()).collect();
    assert!(all.iter().all(|token| *token == all[0] && *token != first), "{all:?}");
    assert_eq!((service.count("token"), service.reuse_events()), (1, 0));
}

#[test]
fn rejected_token_is_not_printed_while_service_is_down() {
    let (service, sandbox, first) = seismic();
    service.fault_always("token", Fault::Status(503));
    let _ = reject(&sandbox, &first).ends(4);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    service.clear_faults();
    assert_ne!(sandbox.broker(&["token", "earthscope"]).token(), first);
}

#[test]
fn rejected_token_stays_stored_if_service_refuses_refresh() {
    let (service, sandbox, first) = seismic();
    service.revoke_everything();
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).ends(3);
    let _ = reject(&sandbox, &first).ends(3).fails_with("grant_refused");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), first, "another host may accept it");
    service.approve_all();
    let words = ["token", "earthscope", "--rejected", "--login"];
    let second = sandbox.broker_reading(&words, &first).token();
    assert!(second != first && service.access_is_live(&second));
}

#[test]
fn rejecting_a_scoped_token_keeps_the_access_token() {
    let (_service, sandbox) = carbonmapper("email = \"ada@example.org\"\n");
    let login = ["login", "carbonmapper", "--password-stdin"];
    let _ = sandbox.broker_reading(&login, "standin-password").ends(0);
    let access = sandbox.broker(&["token", "carbonmapper"]).token();
    let scoped = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]).token();
    let rejected = ["token", "carbonmapper", "--scope", "stac", "--rejected-stdin"];
    let other = sandbox.broker_reading(&rejected, &scoped).token();
    assert_ne!(other, scoped);
    assert_eq!(sandbox.broker(&["token", "carbonmapper"]).token(), access);
    // The replaced scoped token is still valid at the service, so `logout` names both scoped tokens.
    let run = sandbox.broker(&["logout", "carbonmapper"]).ends(0);
    assert_eq!(run.err.matches("broker-").count(), 2, "{}", run.err);
}

#[test]
fn rejected_and_force_flags_exclude_each_other() {
    let (_service, sandbox, _) = seismic();
    let _ = sandbox.broker(&["token", "earthscope", "--rejected", "--force"]).ends(2);
}
