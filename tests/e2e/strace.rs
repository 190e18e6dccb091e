//! Lists the system calls of a `broker` run, or injects a fault into one of them, with `strace`.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use broker_e2e::Sandbox;

/// A system call of a `broker` run. `nth` counts the calls with the same name, as `strace` does.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) nth: usize,
}

pub(crate) fn need_strace() {
    let run = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    assert!(run.is_ok_and(|status| status.success()), "install strace, and allow it to trace");
}

/// Returns all system calls of a `broker` run, each with its line in strace's log.
pub(crate) fn calls(sandbox: &Sandbox, words: &[&str]) -> Vec<(Call, String)> {
    let log = sandbox.home().join("calls");
    let strace = ["strace", "-f", "-qq", "-o", &log.display().to_string()];
    let run = sandbox.command_under(&strace, words).output().expect("strace runs");
    assert!(run.status.success(), "{run:?}");
    let log = std::fs::read_to_string(log).expect("its log");
    let thread = |line: &str| line.split(' ').next().map(str::to_owned);
    // strace counts calls per thread, so `nth` is unique only if the run has one thread.
    assert!(log.lines().all(|line| thread(line) == log.lines().next().and_then(thread)), "one thread");

    let (mut counts, mut all) = (BTreeMap::<_, usize>::new(), Vec::new());
    for line in log.lines() {
        let Some((name, _)) = line.split_whitespace().nth(1).and_then(|call| call.split_once('(')) else {
            continue;
        };
        let nth = counts.entry(name.to_owned()).or_default();
        *nth += 1;
        all.push((Call { name: name.to_owned(), nth: *nth }, line.to_owned()));
    }
    all
}

/// Runs `broker` with a fault at a system call. `what` is `signal=KILL` or `error=ENOSPC`, for example.
pub(crate) fn inject(sandbox: &Sandbox, words: &[&str], call: &Call, what: &str) -> Output {
    let inject = format!("inject={}:{what}:when={}", call.name, call.nth);
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
    sandbox.command_under(&strace, words).output().expect("strace runs")
}
