//! A run looked at, and stopped, at its system calls: by `strace`.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use broker_e2e::Sandbox;

/// A system call of the process: the so-manieth of its name, as `strace` counts.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) nth: usize,
}

/// Fails without a working `strace`.
pub(crate) fn need_strace() {
    let run = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    assert!(run.is_ok_and(|status| status.success()), "install strace, and allow it to trace");
}

/// The calls of a run that nobody stops, each with its line in the log.
pub(crate) fn calls(sandbox: &Sandbox, words: &[&str]) -> Vec<(Call, String)> {
    let log = sandbox.home().join("calls");
    let strace = ["strace", "-f", "-qq", "-o", &log.display().to_string()];
    let run = sandbox.command_under(&strace, words).output().expect("strace runs");
    assert!(run.status.success(), "{run:?}");
    let log = std::fs::read_to_string(log).expect("its log");
    let thread = |line: &str| line.split(' ').next().map(str::to_owned);
    // strace counts by thread: with several, the nth call of a name would be several.
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

/// A run to which something is done at that call: `signal=KILL`, `error=ENOSPC`.
pub(crate) fn inject(sandbox: &Sandbox, words: &[&str], call: &Call, what: &str) -> Output {
    let inject = format!("inject={}:{what}:when={}", call.name, call.nth);
    let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
    sandbox.command_under(&strace, words).output().expect("strace runs")
}
