//! Ends `broker` with a signal at each system call of a token exchange. `strace` sends the signal.

use std::collections::BTreeMap;

use broker_testkit::Rotation;
use rustix::process::Signal;

use crate::strace::{Call, calls, inject, need_strace};

use super::{Case, GRACE, KEEP, OMIT, REUSE, ROTATE, Scene, TOKEN, name};

/// The maximum number of external system calls between the response and the rename that saves the new login.
const MOST_CALLS: usize = 8;

/// System calls with an effect outside the process. To save time, most tests send signals only at these calls.
const EXTERNAL: &str = "close connect fdatasync flock fsync ftruncate openat pwrite64 read recvfrom renameat sendto \
                        unlink write writev";

/// The system calls of a token exchange, beginning with the call that takes the lock.
struct Path {
    calls: Vec<Call>,
    /// The number of external system calls between the response and the rename that saves the new login.
    unsaved: Option<usize>,
}

fn path(scene: &Scene) -> Path {
    let _ = scene.expire();
    let mut all = calls(&scene.sandbox, &TOKEN);
    let at = |from: usize, what: &str| {
        all[from..].iter().position(|(_, line)| line.contains(what)).map(|found| from + found)
    };
    let lock = at(0, "earthscope.lock\"").expect("a lock");
    let response = at(lock, "\"HTTP/1.1 200").expect("a response");
    let is_external = |call: &Call| EXTERNAL.split(' ').any(|name| name == call.name);
    let count = |calls: &[(Call, String)]| calls.iter().filter(|(call, _)| is_external(call)).count();
    let unsaved = at(response, " rename").map(|rename| count(&all[response + 1..rename]));
    let every = scene.case.rotation == Rotation::RotateDetectReuse;
    let calls = all.drain(lock..).map(|(call, _)| call);
    Path { calls: calls.filter(|call| every || is_external(call)).collect(), unsaved }
}

/// Runs `broker` and sends a signal at a system call. Returns `false` if the run finished without this call.
fn stop_at(scene: &mut Scene, signal: Signal, call: &Call) -> bool {
    let before = scene.expire();
    let ended = inject(&scene.sandbox, &TOKEN, call, &format!("signal={}", name(signal)));
    scene.check_after(&before, signal, &format!("at {} {}", call.name, call.nth), &ended);
    !ended.status.success()
}

fn kill_at_each_call(case: Case) {
    need_strace();
    let mut scene = Scene::new(case);
    let path = path(&scene);
    let (mut last, mut missed) = (BTreeMap::new(), 0);
    for call in &path.calls {
        missed += usize::from(!stop_at(&mut scene, Signal::KILL, call));
        last.insert(call.name.clone(), call.nth);
    }
    assert!(missed * 20 < path.calls.len(), "{missed} of {} calls were not reached", path.calls.len());
    // A response may arrive in two parts, so a run may make more system calls than the first run.
    for (name, mut nth) in last {
        nth += 1;
        while stop_at(&mut scene, Signal::KILL, &Call { name: name.clone(), nth }) {
            nth += 1;
        }
    }
    scene.print("KILL, each call");
    let unsaved = path.unsaved.expect("saved by a rename");
    super::say(&format!("{:<16} {:<21} {unsaved:>5} calls between response and rename", "", case.name));
    assert!(unsaved <= MOST_CALLS, "{unsaved} calls between response and rename");
    let tally = &scene.tally;
    for what in ["before the request", "in the window", "saved"] {
        assert!(tally.contains_key(what), "no run was stopped there: {what}: {tally:?}");
    }
    assert_eq!(tally.contains_key("lost and reported"), case.spends(), "{tally:?}");
}

fn signal_at_each_call(case: Case, signal: Signal) {
    need_strace();
    let mut scene = Scene::new(case);
    let path = path(&scene);
    for call in &path.calls {
        let _ = stop_at(&mut scene, signal, call);
    }
    scene.print(&format!("{}, each call", name(signal)));
    let ended_before = scene.tally.get("ended before").copied().unwrap_or(0);
    assert!(ended_before * 3 < path.calls.len() * 2, "{:?}", scene.tally);
}

#[test]
#[ignore = "needs strace"]
fn kill_loses_no_login_if_refresh_token_is_not_rotated() {
    kill_at_each_call(KEEP);
    kill_at_each_call(OMIT);
}

#[test]
#[ignore = "needs strace"]
fn kill_loses_no_login_if_old_refresh_token_still_works() {
    kill_at_each_call(GRACE);
}

#[test]
#[ignore = "needs strace"]
fn kill_loses_rotated_login_only_before_the_save() {
    kill_at_each_call(ROTATE);
    kill_at_each_call(REUSE);
}

#[test]
#[ignore = "needs strace"]
fn ctrl_c_at_any_system_call_loses_no_login() {
    for case in [KEEP, OMIT, GRACE, ROTATE, REUSE] {
        signal_at_each_call(case, Signal::INT);
    }
}

#[test]
#[ignore = "needs strace"]
fn sigterm_or_sighup_at_any_system_call_loses_no_login() {
    for case in [KEEP, OMIT, GRACE, ROTATE, REUSE] {
        signal_at_each_call(case, Signal::TERM);
    }
    signal_at_each_call(ROTATE, Signal::HUP);
}
