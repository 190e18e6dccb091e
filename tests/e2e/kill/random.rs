//! Ends `broker` with signals at random times, in many runs.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use broker_testkit::Fault;
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};

use super::{Case, GRACE, KEEP, OMIT, REUSE, ROTATE, Scene, TOKEN};

/// The number of `broker` runs that each test ends with a signal. CI sets `BROKER_E2E_FULL` for more runs.
fn stops() -> usize {
    if std::env::var_os("BROKER_E2E_FULL").is_some() { 600 } else { 40 }
}

const FORCED: [&str; 3] = ["token", "earthscope", "--force"];

/// Returns the median time of `broker` runs without a signal.
fn median_time(scene: &Scene) -> Duration {
    let mut times = [(); 5].map(|()| {
        let since = Instant::now();
        let _ = scene.sandbox.broker(&FORCED).ends(0);
        since.elapsed()
    });
    times.sort();
    times[times.len() / 2]
}

/// Starts `broker`, and sends the signal after a time that does not depend on any event in the broker.
fn stop_after(scene: &Scene, wait: Duration, signal: Signal) -> Output {
    let mut command = scene.sandbox.command(&FORCED);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the broker runs");
    std::thread::sleep(wait);
    kill_process(Pid::from_child(&child), signal).expect("signalled");
    child.wait_with_output().expect("the broker ends")
}

fn stop_at_random(case: Case) {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let mut scene = Scene::new(case);
    let mut longest = Duration::ZERO;
    for nth in 0..stops() {
        // The load of the machine changes, so the run time is measured again.
        if nth % 100 == 0 {
            longest = median_time(&scene).mul_f64(1.2);
        }
        let signal = [Signal::KILL, Signal::INT, Signal::TERM][rng.usize(..3)];
        let (wait, delay) = (longest.mul_f64(rng.f64()), Duration::from_micros(rng.u64(..=3000)));
        let before = scene.expire();
        if rng.bool() {
            scene.service.fault("token", Fault::Delay(delay));
        }
        let ended = stop_after(&scene, wait, signal);
        scene.service.clear_faults();
        let at = format!("after {wait:?} of {longest:?} (stop {nth}, seed {seed})");
        scene.check_after(&before, signal, &at, &ended);
    }
    let _ = scene.expire();
    let _ = scene.sandbox.broker(&TOKEN).token();
    scene.print("at random");
    for what in ["before the request", "saved"] {
        assert!(scene.tally.contains_key(what), "no run was stopped there: {what}: {:?}", scene.tally);
    }
}

#[test]
fn random_kills_lose_no_login_if_old_refresh_token_works() {
    for case in [KEEP, OMIT, GRACE] {
        stop_at_random(case);
    }
}

#[test]
fn random_kills_lose_rotated_login_only_before_save() {
    for case in [ROTATE, REUSE] {
        stop_at_random(case);
    }
}
