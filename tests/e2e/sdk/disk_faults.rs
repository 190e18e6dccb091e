//! Tests faults and kills at system calls that concern EarthScope's login file. `strace` injects them.

use std::io::Write;
use std::process::Stdio;

use broker_e2e::{Run, Sandbox, finish, spawn};
use broker_testkit::{EarthScopeOptions, Rotation};
use chrono::TimeDelta;
use serde_json::json;

use super::{TOKEN, jwt, read_login, seismic, write_login};
use crate::stage::{logged_in, with_runtime_dir};
use crate::strace::need_strace;

/// Runs `broker` with a fault such as `openat:error=EIO`. Returns `None` if the run made no such call.
fn run_with(sandbox: &Sandbox, words: &[&str], input: &str, more: &[&str], fault: &str) -> Option<Run> {
    let log = sandbox.home().join("calls");
    let log_path = log.display().to_string();
    let (call, inject) = (fault.split(':').next().unwrap_or_default(), format!("inject={fault}"));
    let trace = format!("trace={call}");
    let strace = ["strace", "-f", "-qq", "-o", &log_path, "-e", &trace, "-e", &inject];
    let mut command = sandbox.command_under(&[&strace[..], more].concat(), words);
    command.stdin(Stdio::piped());
    let mut child = spawn(command, words);
    let _ = child.stdin.take().expect("stdin").write_all(input.as_bytes());
    let run = finish(child);
    let log = std::fs::read_to_string(log).expect("a log");
    (log.contains("(INJECTED)") || log.contains("killed by SIGKILL")).then_some(run)
}

#[test]
#[ignore = "needs strace"]
fn disk_fault_at_login_file_is_no_logout() {
    need_strace();
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let path = sandbox.tokens_path().display().to_string();
    let fault_at = |words: &[&str], fault: &str| run_with(&sandbox, words, "", &["-P", &path], fault);
    let errors = ["EIO", "EMFILE", "ENFILE", "ENOMEM", "ESTALE", "EACCES", "ELOOP", "ETIMEDOUT"];
    let token = sandbox.broker(&TOKEN).token();
    for error in errors {
        let run = fault_at(&TOKEN, &format!("openat:error={error}")).expect("the file is opened");
        assert_eq!(run.token(), token, "{error}: the stored token is valid");
    }
    sandbox.age("earthscope", TimeDelta::days(2));
    let before = read_login(&sandbox);
    for call in ["openat", "read", "statx"] {
        for error in errors {
            let fault = format!("{call}:error={error}");
            for words in [&TOKEN[..], &["status", "earthscope"], &["logout", "earthscope"]] {
                let run = fault_at(words, &fault).expect("the file is read");
                let _ = run.ends(1).fails_with("store_unreadable");
            }
            assert!(fault_at(&["login", "earthscope"], &fault).expect("the file is read").code == 1);
        }
    }
    assert_eq!((read_login(&sandbox), service.seen().len()), (before, 0));
    assert!(service.access_is_live(&sandbox.broker(&TOKEN).token()));
}

#[test]
#[ignore = "needs strace"]
fn login_that_displaces_another_never_loses_the_login_file() {
    need_strace();
    let (service, sandbox) = seismic(Rotation::Rotate);
    let (sandbox, _) = with_runtime_dir(sandbox);
    let other = jwt(service.url(), TimeDelta::days(1), |claims| claims["azp"] = "another".into());
    let other = json!({ "access_token": other, "refresh_token": "KANARIE-theirs" });
    let words = ["login", "earthscope", "--refresh-token-stdin"];
    let mut hits = 0;
    for what in ["signal=KILL", "error=EIO", "error=EPERM"] {
        for call in ["linkat", "renameat", "openat", "write", "fsync", "fchmod", "unlink"] {
            for nth in 1.. {
                write_login(&sandbox, &other);
                let (input, fault) = (service.issue_refresh_token(), format!("{call}:{what}:when={nth}"));
                let Some(run) = run_with(&sandbox, &words, &input, &[], &fault) else { break };
                hits += 1;
                let now = read_login(&sandbox);
                assert!(now["refresh_token"].is_string(), "{fault}: {run:?} {now}");
                assert!(run.code != 0 || now != other || run.err.contains("fallback"), "{fault}: {run:?}");
                let _ = std::fs::remove_file(sandbox.record_path("earthscope"));
            }
        }
    }
    assert!(hits > 50, "{hits}");
    // The content has one copy, not one for each attempt, and one more where the fault hit their comparison.
    let asides = std::fs::read_dir(sandbox.tokens_path().parent().expect("a folder")).expect("a folder");
    let asides = asides.flatten().filter(|entry| entry.file_name().display().to_string().contains("aside"));
    assert!((1..=2).contains(&asides.count()));
}
