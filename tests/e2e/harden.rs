//! Tests that other processes cannot read the broker's memory and environment, but can read those of its children.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use broker_e2e::{Sandbox, finish, spawn};
use broker_testkit::{EarthDaily, Fault};

use crate::stage::{earthdaily, program};
use crate::user::User;

/// Starts a broker that waits for a response, from a shell that allows core dumps.
fn waiting(user: &User, service: &EarthDaily, sandbox: &Sandbox) -> Child {
    service.fault("token", Fault::Hang);
    let mut command = dumping(sandbox, "7", &["token", "earthdaily"]);
    user.runs(&mut command);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    assert!(service.wait_for("token", 1, Duration::from_secs(30)), "a request");
    child
}

/// Returns a `broker` command started by a shell that allows core dumps of `limit` blocks.
fn dumping(sandbox: &Sandbox, limit: &str, words: &[&str]) -> Command {
    let script = format!("ulimit -S -c {limit} && exec \"$0\" \"$@\"");
    let binary = sandbox.home().join("broker");
    let mut command = program(sandbox, "sh", &["-c", &script, binary.to_str().expect("text")]);
    command.args(words);
    command
}

fn stage() -> (User, EarthDaily, Sandbox) {
    let (service, sandbox) = earthdaily("");
    let user = User::of(&sandbox);
    (user, service, sandbox)
}

fn reads(user: &User, path: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "exec < \"$0\"", path]).stderr(Stdio::null());
    user.runs(&mut command);
    command.status().expect("it runs").success()
}

#[test]
fn memory_of_a_running_broker_is_not_dumped_or_readable() {
    let (user, service, sandbox) = stage();
    let mut broker = waiting(&user, &service, &sandbox);
    let of = |child: &Child, file: &str| format!("/proc/{}/{file}", child.id());
    let limits = std::fs::read_to_string(of(&broker, "limits")).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("its line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "the soft limit: {core}");
    assert_ne!(core.split_whitespace().nth(5), Some("0"), "the hard limit is unchanged: {core}");
    let mut command = Command::new("sleep");
    user.runs(&mut command);
    let mut other = command.arg("60").spawn().expect("it runs");
    let seen = ["environ", "mem", "maps"].map(|file| reads(&user, &of(&broker, file)));
    let others = ["environ", "maps"].map(|file| reads(&user, &of(&other, file)));
    for child in [&mut broker, &mut other] {
        child.kill().expect("it ends");
        child.wait().expect("it ends");
    }
    assert_eq!(seen, [false; 3], "environ, mem and maps of the broker are readable");
    assert_eq!(others, [true; 2], "environ and maps of another process are not readable");
}

#[test]
fn exec_child_keeps_core_dump_limit_and_readable_environ() {
    let (user, _service, sandbox) = stage();
    // `cat` succeeds only if another process can read the shell's environment.
    let script = "ulimit -S -c; cat /proc/$$/environ > /dev/null && echo open";
    for flags in [&[][..], &["--file"]] {
        let words = [&["exec"], flags, &["earthdaily", "--", "sh", "-c", script]].concat();
        let mut command = dumping(&sandbox, "7", &words);
        user.runs(&mut command);
        let run = finish(spawn(command, &words)).ends(0);
        assert_eq!(run.out, "7\nopen\n", "{words:?}");
    }
}

#[test]
fn commands_work_for_an_unprivileged_user() {
    let (user, _service, sandbox) = stage();
    let run = |words: &[&str]| finish(spawn(user.broker(&sandbox, words), words));
    let token = run(&["token", "earthdaily"]).token();
    let path = |name: &str| sandbox.home().join(name);
    for words in [
        vec!["status", "--json"],
        vec!["list"],
        vec!["config", "check"],
        vec!["doctor", "--offline"],
        vec!["exec", "--file", "earthdaily", "--", "sh", "-c", "test -s \"$EDS_TOKEN_FILE\""],
        vec!["logout", "earthdaily"],
    ] {
        let _ = run(&words).ends(0);
    }
    // A process that is not dumpable must still be able to open its own descriptors as /dev/stdin and /dev/stdout.
    for (name, redirected) in [
        ("plain", "> \"$1\""),
        ("by-name", "--config /dev/fd/3 3< \"$HOME/.config/broker/providers.toml\" > \"$1\""),
    ] {
        let script = format!("exec \"$0\" token earthdaily {redirected}");
        let (binary, file) = (path("broker"), path(name));
        let words = ["-c", &script, binary.to_str().expect("text"), file.to_str().expect("text")];
        let mut command = program(&sandbox, "sh", &words);
        command.process_group(0);
        user.runs(&mut command);
        let _ = finish(spawn(command, &["token"])).ends(0);
        let mut cat = Command::new("cat");
        user.runs(cat.arg(&file));
        let text = String::from_utf8(cat.output().expect("it runs").stdout).expect("UTF-8");
        assert!(text.lines().count() == 1 && text.trim().len() == token.len(), "{name}: {text}");
        std::fs::remove_file(file).expect("the file");
    }
}
