//! Tests `broker exec --file`, which renews token files while the command runs.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use broker_e2e::{Sandbox, Started, finish, signal};
use broker_testkit::{EarthDaily, EarthDailyOptions, Fault};

use super::{first_line, two, written};
use crate::terminal::Screen;

/// Returns a service whose tokens are valid for `lifetime` seconds, and a sandbox with `XDG_RUNTIME_DIR`.
fn imagery(lifetime: u64) -> (EarthDaily, Sandbox) {
    let service = EarthDaily::start(EarthDailyOptions { life: lifetime, ..EarthDailyOptions::default() });
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url());
    let sandbox = Sandbox::new().with_config(&config).with_env("EDS_SECRET", "standin-api-token");
    let session = sandbox.home().join("session");
    std::fs::create_dir(&session).expect("a folder");
    let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", session.to_str().expect("a path"));
    (service, sandbox)
}

/// Returns the folders with token files in `XDG_RUNTIME_DIR`.
fn folders(sandbox: &Sandbox) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(sandbox.home().join("session")).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Starts `broker exec --file` with a script, and waits until the script prints its first line.
fn start(sandbox: &Sandbox, script: &str) -> Started {
    start_with(sandbox, script, Stdio::null())
}

fn start_with(sandbox: &Sandbox, script: &str, stdin: Stdio) -> Started {
    let words = ["exec", "--file", "earthdaily", "--", "sh", "-c", script];
    // The tests may run with ignored signals, for example under `nohup`.
    let mut command = sandbox.command_under(&["env", "--default-signal"], &words);
    command.stdin(stdin);
    let mut child = broker_e2e::spawn(command, &words);
    assert_eq!(first_line(&mut child), "ready");
    child
}

/// A shell loop that waits for a trapped signal.
const WAIT: &str = "while :; do sleep 0.05; done";

#[test]
fn token_file_is_private_and_removed_after_the_command() {
    let (_service, sandbox) = imagery(3600);
    let script = "umask 077; cat $EDS_TOKEN_FILE > seen; stat -c '%a %F' $EDS_TOKEN_FILE $(dirname $EDS_TOKEN_FILE); \
                  echo \"${EDS_TOKEN-none}\"; exit 7";
    let run = sandbox.broker(&["exec", "--file", "earthdaily", "--", "sh", "-c", script]).ends(7);
    assert_eq!(run.out, "600 regular file\n700 directory\nnone\n");
    assert_eq!(written(&sandbox, "seen"), sandbox.broker(&["token", "earthdaily"]).token() + "\n");
    assert!(folders(&sandbox).is_empty());
}

#[test]
fn token_file_is_in_temp_folder_without_xdg_runtime_dir() {
    let (_service, sandbox) = imagery(3600);
    let temporary = sandbox.home().join("tmp");
    std::fs::create_dir(&temporary).expect("a folder");
    let sandbox = sandbox.with_env("TMPDIR", temporary.to_str().expect("a path"));
    for session in ["", "relative", "/nowhere"] {
        let words = ["exec", "--file", "earthdaily", "--", "printenv", "EDS_TOKEN_FILE"];
        let run = sandbox.command(&words).env("XDG_RUNTIME_DIR", session).output().expect("the broker runs");
        let path = String::from_utf8(run.stdout).expect("UTF-8");
        assert!(PathBuf::from(path).starts_with(&temporary));
    }
}

#[test]
fn token_file_is_renewed_while_the_command_runs() {
    let (service, sandbox) = imagery(4);
    // The script fails with 9 if it reads a partly written token file.
    let script = "first=$(cat $EDS_TOKEN_FILE); now=$first; while [ $now = $first ]; do now=$(cat $EDS_TOKEN_FILE); \
                  [ ${#now} = ${#first} ] || exit 9; done; umask 077; echo $now > seen";
    let _ = sandbox.broker(&["exec", "--file", "earthdaily", "--", "sh", "-c", script]).ends(0);
    assert!(service.access_is_live(written(&sandbox, "seen").trim()));
    assert!(service.exchanges() >= 2);
}

#[test]
fn failed_renewal_keeps_the_token_file_and_is_retried() {
    let (service, sandbox) = imagery(4);
    let script = "first=$(cat $EDS_TOKEN_FILE); echo ready; while [ $(cat $EDS_TOKEN_FILE) = $first ]; do sleep 0.1; done";
    let child = start(&sandbox, script);
    service.forget_seen();
    service.fault_always("token", Fault::Status(503));
    // The broker retries the renewal before, at and after the token's expiry.
    assert!(service.wait_for("token", 8, Duration::from_secs(30)), "the renewal is tried again");
    service.clear_faults();
    let run = finish(child).ends(0).says("try again later");
    assert_eq!(run.err.matches("the file keeps its old token").count(), 1, "{}", run.err);
}

#[test]
fn exec_with_file_forwards_signals_and_exit_status() {
    let (_service, sandbox) = imagery(3600);
    for name in ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "WINCH"] {
        let child = start(&sandbox, &format!("trap 'echo got {name}; exit 9' {name}; echo ready; {WAIT}"));
        signal(&child, name);
        assert_eq!(finish(child).ends(9).out, format!("got {name}\n"));
    }
    for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        let mut child = start(&sandbox, "echo ready; exec sleep 600");
        signal(&child, name);
        assert_eq!(child.wait().expect("the command exits").signal(), Some(number));
    }
    let mut child = start(&sandbox, "echo ready; kill -KILL $$");
    assert_eq!(child.wait().expect("the command exits").signal(), Some(9));
    assert!(folders(&sandbox).is_empty());
}

#[test]
fn next_exec_removes_token_files_of_killed_runs_only() {
    let (_service, sandbox) = imagery(3600);
    // The script ends when its standard input is closed.
    let script = "echo ready; read _; cat $EDS_TOKEN_FILE > /dev/null";
    let [mut killed, mut other] = [(); 2].map(|()| start_with(&sandbox, script, Stdio::piped()));
    assert_eq!(folders(&sandbox).len(), 2);
    killed.kill().expect("a running broker");
    let _ = killed.wait();
    assert_eq!(folders(&sandbox).len(), 2);
    let _ = sandbox.broker(&["exec", "--file", "earthdaily", "--", "true"]).ends(0);
    assert_eq!(folders(&sandbox).len(), 1);
    drop(other.stdin.take());
    let _ = finish(other).ends(0);
    assert!(folders(&sandbox).is_empty());
}

#[test]
#[ignore = "needs script"]
fn exec_with_file_does_not_forward_terminal_signals() {
    let (_service, sandbox) = imagery(3600);
    // The script runs in its own session, so an interrupt reaches it only if the broker forwards it.
    let script = "trap 'count=again' INT; trap 'echo $count; exit 5' USR1; count=never; echo ready $PPID.; while :; do sleep 0.05; done";
    sandbox.write(&sandbox.home().join("script"), script);
    let mut screen = Screen::run(&sandbox, "exec --file earthdaily -- setsid sh script");
    screen.wait_for(".");
    screen.types("\x03");
    screen.wait_for("^C");
    let broker =
        screen.seen().split_once("ready ").and_then(|(_, rest)| rest.split_once('.')).expect("a number").0;
    let sent = Command::new("sh").args(["-c", "kill -s USR1 $0", broker]).status().expect("kill");
    assert!(sent.success());
    let (_, seen) = screen.ends();
    assert!(seen.contains("never"), "{seen}");
}

#[test]
fn exec_with_file_creates_one_token_file_per_provider() {
    let (_imagery, _methane, sandbox) = two();
    let script = "test -s $EDS_TOKEN_FILE && test -s $CARBONMAPPER_TOKEN_FILE && \
                  test $(dirname $EDS_TOKEN_FILE) = $(dirname $CARBONMAPPER_TOKEN_FILE)";
    let _ = sandbox.broker(&["exec", "--file", "earthdaily,carbonmapper", "--", "sh", "-c", script]).ends(0);
}
