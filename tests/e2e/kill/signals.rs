//! Tests that a signal does not stop `broker` between a response and its save.

use std::time::Duration;

use broker_e2e::finish;
use broker_testkit::Fault;
use rustix::process::{Pid, Signal, kill_process};

use super::{REUSE, Scene, TOKEN, token};
use crate::stage::start_request;

#[test]
fn repeated_signals_during_a_renewal_lose_no_login() {
    let scene = Scene::new(REUSE);
    for signals in [[Signal::INT, Signal::INT, Signal::TERM], [Signal::TERM, Signal::INT, Signal::HUP]] {
        let before = scene.expire();
        scene.service.fault("token", Fault::Delay(Duration::from_millis(300)));
        let mut child = start_request(&scene.sandbox, &TOKEN, &scene.service, "token");
        for signal in signals.iter().cycle() {
            kill_process(Pid::from_child(&child), *signal).expect("signalled");
            std::thread::yield_now();
            if child.try_wait().expect("a child").is_some() {
                break;
            }
        }
        let run = finish(child);
        // The exit code may name any of the signals, because a second may arrive before the first is handled.
        assert!(signals.iter().any(|signal| run.code == 128 + signal.as_raw()), "{run:?}");
        assert_ne!(token(&scene.complete_record("repeated signals")), before.token, "saved");
        assert_eq!(scene.service.refreshes(), before.refreshes + 1);
        scene.check_login_works(scene.sandbox.broker(&TOKEN), "repeated signals");
    }
}

#[test]
fn sigterm_from_timeout_command_loses_no_login() {
    let scene = Scene::new(REUSE);
    for turn in 0..50 {
        let delay = Duration::from_millis(fastrand::u64(30..=80));
        scene.service.fault("token", Fault::Delay(delay));
        let words = ["token", "earthscope", "--force"];
        let ended = scene.sandbox.command_under(&["timeout", "0.05"], &words).output().expect("timeout runs");
        let what = format!("turn {turn}, a response after {delay:?}");
        assert!(matches!(ended.status.code(), Some(0 | 124 | 143)), "{what}: {ended:?}");
        scene.check_login_works(scene.sandbox.broker(&TOKEN), &what);
    }
    assert_eq!(scene.service.reuse_events(), 0);
    let _ = scene.expire();
    let _ = scene.sandbox.broker(&TOKEN).token();
}
