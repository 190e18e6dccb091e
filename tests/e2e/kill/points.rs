//! At every system call of an exchange, one after the other, by `strace`.

use std::collections::BTreeMap;

use broker_testkit::Rotation;
use rustix::process::Signal;

use crate::strace::{Call, calls, inject, need_strace};

use super::{Case, GRACE, KEEP, OMIT, REUSE, ROTATE, Scene, Stop, TOKEN, name};

/// The most system calls between the service's answer and its being on the disk.
const NARROW: usize = 10;

/// The calls that something outside the process sees. Of the service that is hardest on clients every call is
/// tried, of the others these.
const SEEN: [&str; 15] = [
    "close",
    "connect",
    "fdatasync",
    "flock",
    "fsync",
    "ftruncate",
    "openat",
    "pwrite64",
    "read",
    "recvfrom",
    "renameat",
    "sendto",
    "unlink",
    "write",
    "writev",
];

/// The calls from the lock to the end.
struct Path {
    calls: Vec<Call>,
    /// How many of them lie between the service's answer and the rename that saves it, if one does.
    narrow: Option<usize>,
}

/// Looks where an exchange that nobody stops comes by.
fn path(scene: &Scene) -> Path {
    let _ = scene.expire();
    let mut all = calls(&scene.sandbox, &TOKEN);
    let at = |from: usize, what: &str| {
        all[from..].iter().position(|(_, line)| line.contains(what)).map(|found| from + found)
    };
    let lock = at(0, "earthscope.lock\"").expect("a lock");
    let answer = at(lock, "\"HTTP/1.1 200").expect("an answer");
    let narrow = at(answer, " rename").map(|rename| rename - answer);
    let every = scene.case.rotation == Rotation::RotateDetectReuse;
    let calls = all.drain(lock..).map(|(call, _)| call);
    Path { calls: calls.filter(|call| every || SEEN.contains(&call.name.as_str())).collect(), narrow }
}

/// Stops a run at that call; `false` if it never came to it.
fn stop_at(scene: &mut Scene, signal: Signal, call: &Call) -> bool {
    let before = scene.expire();
    let ended = inject(&scene.sandbox, &TOKEN, call, &format!("signal={}", name(signal)));
    let stop = Stop { signal, at: format!("at {} {}", call.name, call.nth) };
    scene.look_after(&before, &stop, &ended);
    !ended.status.success()
}

fn killed_everywhere(case: Case) {
    need_strace();
    let mut scene = Scene::new(case);
    let path = path(&scene);
    let (mut last, mut missed) = (BTreeMap::new(), 0);
    for call in &path.calls {
        missed += usize::from(!stop_at(&mut scene, Signal::KILL, call));
        last.insert(call.name.clone(), call.nth);
    }
    assert!(missed * 20 < path.calls.len(), "{missed} of {} calls were not come by", path.calls.len());
    // Two runs are not quite the same: an answer may come in two parts.
    for (name, mut nth) in last {
        loop {
            nth += 1;
            if !stop_at(&mut scene, Signal::KILL, &Call { name: name.clone(), nth }) {
                break;
            }
        }
    }
    scene.print("KILL, each call");
    let narrow = path.narrow.expect("saved by a rename");
    super::say(&format!("{:<16} {:<21} {narrow:>5} calls between answer and rename", "", case.name));
    assert!(narrow <= NARROW, "{narrow} calls between answer and rename");
    let tally = &scene.tally;
    for what in ["before the request", "in the window", "saved"] {
        assert!(tally.of(what) > 0, "nothing was stopped there: {what}: {tally}");
    }
    assert_eq!(tally.of("lost and said") > 0, case.spends(), "{tally}");
}

fn signalled_everywhere(case: Case, signal: Signal) {
    need_strace();
    let mut scene = Scene::new(case);
    let path = path(&scene);
    for call in &path.calls {
        let _ = stop_at(&mut scene, signal, call);
    }
    scene.print(&format!("{}, each call", name(signal)));
    assert!(scene.tally.of("over before") * 3 < path.calls.len() * 2, "{}", scene.tally);
}

#[test]
#[ignore = "needs strace"]
fn a_kill_at_any_call_loses_nothing_where_the_refresh_token_stays() {
    killed_everywhere(KEEP);
    killed_everywhere(OMIT);
}

#[test]
#[ignore = "needs strace"]
fn a_kill_at_any_call_loses_nothing_where_a_spent_refresh_token_is_taken_once_more() {
    killed_everywhere(GRACE);
}

#[test]
#[ignore = "needs strace"]
fn a_kill_at_any_call_loses_a_rotated_login_only_in_the_window_and_says_so() {
    killed_everywhere(ROTATE);
    killed_everywhere(REUSE);
}

#[test]
#[ignore = "needs strace"]
fn ctrl_c_at_any_call_loses_nothing() {
    for case in [KEEP, OMIT, GRACE, ROTATE, REUSE] {
        signalled_everywhere(case, Signal::INT);
    }
}

#[test]
#[ignore = "needs strace"]
fn term_and_hang_up_at_any_call_lose_nothing() {
    for case in [KEEP, OMIT, GRACE, ROTATE, REUSE] {
        signalled_everywhere(case, Signal::TERM);
    }
    signalled_everywhere(ROTATE, Signal::HUP);
}
