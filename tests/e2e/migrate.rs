//! Tests that an interrupted `broker store migrate` loses no record, and that the next run completes the migration.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::time::Duration;

use broker_e2e::{Sandbox, finish};
use broker_testkit::Fault;

use crate::sealed::{assert_sealed, configure_key, seismic, stored_format};
use crate::stage::{
    block_state, earthdaily, log_in, set_mode, start_request, unblock_state, with_runtime_dir,
};
use crate::strace::{self, Call};

const MIGRATE: [&str; 2] = ["store", "migrate"];
const TOKEN: [&str; 2] = ["token", "earthscope"];

/// Injects a fault into each selected system call of a migration from storage format `back` to format `there`.
fn at_each_call(
    mut sandbox: Sandbox,
    there: &str,
    back: &str,
    what: &str,
    selects: impl Fn(&Call) -> bool,
) -> ([usize; 2], Sandbox) {
    let token = sandbox.broker(&TOKEN).token();
    sandbox = sandbox.with_env("BROKER_STORE", there);
    let calls = strace::calls(&sandbox, &MIGRATE);
    let lock = calls.iter().position(|(_, line)| line.contains("earthscope.lock\"")).expect("a lock");
    let (mut unchanged, mut moved) = (0, 0);
    for (call, _) in calls[lock..].iter().filter(|(call, _)| selects(call)) {
        sandbox = sandbox.with_env("BROKER_STORE", back);
        let _ = sandbox.broker(&MIGRATE).ends(0);
        let before = stored_format(&sandbox, "earthscope");
        sandbox = sandbox.with_env("BROKER_STORE", there);
        let ended = strace::inject(&sandbox, &MIGRATE, call, what);
        let at = format!("{what} at {} {}: {ended:?}", call.name, call.nth);
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{at}");
        if stored_format(&sandbox, "earthscope") == before {
            unchanged += 1;
            let reported = String::from_utf8_lossy(&ended.stdout).contains("->");
            assert!(!reported && ended.status.code() != Some(0), "{at}: not moved, but no error");
        } else {
            moved += 1;
        }
        let _ = sandbox.broker(&MIGRATE).ends(0);
        assert_ne!(stored_format(&sandbox, "earthscope"), before, "{at}: the next run completes it");
        for entry in std::fs::read_dir(sandbox.state()).expect("a folder").flatten() {
            let name = entry.file_name();
            let known = ["earthscope.json", "earthscope.lock"].iter().any(|known| name == *known);
            assert!(known, "{at}: {} is left behind", name.display());
        }
    }
    ([unchanged, moved], sandbox)
}

#[test]
#[ignore = "needs strace"]
fn migrate_killed_at_any_system_call_loses_no_record() {
    strace::need_strace();
    let (_service, mut sandbox) = seismic();
    configure_key(&sandbox);
    for (there, back) in [("", "file"), ("file", "")] {
        let [unchanged, moved];
        ([unchanged, moved], sandbox) = at_each_call(sandbox, there, back, "signal=KILL", |_| true);
        assert!(unchanged > 10 && moved > 1, "killed before and after: {unchanged}, {moved}");
    }
}

#[test]
#[ignore = "needs strace"]
fn migrate_without_disk_space_keeps_the_record() {
    strace::need_strace();
    let (_service, mut sandbox) = seismic();
    configure_key(&sandbox);
    let writes = |call: &Call| {
        ["write", "fsync", "fdatasync", "ftruncate", "rename", "renameat"].contains(&call.name.as_str())
    };
    for (there, back) in [("", "file"), ("file", "")] {
        let unchanged;
        ([unchanged, _], sandbox) = at_each_call(sandbox, there, back, "error=ENOSPC", writes);
        assert!(unchanged >= 4, "{unchanged}");
    }
}

#[test]
fn migrate_leaves_no_plain_record_in_runtime_folder() {
    let (service, sandbox) = seismic();
    sandbox.age("earthscope", chrono::TimeDelta::days(2));
    let (sandbox, runtime) = with_runtime_dir(sandbox);
    let hold = service.hold("token");
    let child = start_request(&sandbox, &TOKEN, &service, "token");
    block_state(&sandbox);
    drop(hold);
    let _ = finish(child).says("WARNING").token();
    unblock_state(&sandbox);
    let mut files = std::fs::read_dir(runtime.join("broker")).expect("a folder").flatten();
    let fallback = files.next().expect("a record").path();
    let copy = std::fs::read(&fallback).expect("a record");
    let token = sandbox.broker(&["token", "earthscope", "--force"]).token();
    configure_key(&sandbox);
    let _ = sandbox.broker(&MIGRATE).ends(0).prints("earthscope: file -> key");
    // Writes the plain-text record to the runtime folder again, as if `migrate` had failed to remove it.
    std::fs::write(&fallback, copy).expect("written");
    set_mode(&fallback, 0o600);
    let _ = sandbox.broker(&MIGRATE).ends(0);
    assert!(!fallback.exists(), "the older copy is plain text");
    assert_eq!(stored_format(&sandbox, "earthscope"), "key");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
}

#[test]
fn migrate_warns_of_broken_records_kept_in_plain_text() {
    let (_service, sandbox) = earthdaily("");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let torn = std::fs::read(sandbox.record_path("earthdaily")).expect("a record");
    std::fs::write(sandbox.record_path("earthdaily"), &torn[..torn.len() / 2]).expect("torn");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    configure_key(&sandbox);
    for _ in 0..2 {
        let run = sandbox.broker(&MIGRATE).ends(0);
        let _ = run.says("warning: ").says("earthdaily.json.aside-1");
    }
    std::fs::remove_file(sandbox.state().join("earthdaily.json.aside-1")).expect("removed");
    let run = sandbox.broker(&MIGRATE).ends(0);
    assert!(run.out.is_empty() && run.err.contains("(key)") && !run.err.contains("warning"), "{}", run.err);
    assert_sealed(&sandbox.state());
}

#[test]
fn migrate_continues_with_other_records_after_an_error() {
    let (_service, sandbox) = earthdaily("");
    let token = sandbox.broker(&["token", "earthdaily"]).token();
    symlink(sandbox.home().join("elsewhere"), sandbox.record_path("another")).expect("a link");
    configure_key(&sandbox);
    let run = sandbox.broker(&["store", "status"]).ends(1);
    let _ = run.says("another: ").says("another.json").prints("earthdaily  file");
    let _ = sandbox.broker(&MIGRATE).ends(1).says("another.json").prints("earthdaily: file -> key");
    assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), token);
    let doctor = sandbox.broker(&["doctor", "--offline"]).ends(1);
    assert!(!doctor.out.contains("all records are encrypted"), "that is unknown: {}", doctor.out);
}

#[test]
fn migrate_waits_for_the_lock_and_names_its_holder() {
    let (_service, sandbox) = earthdaily("");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    configure_key(&sandbox);
    let lock = File::options().write(true).open(sandbox.state().join("earthdaily.lock")).expect("a lock");
    lock.lock().expect("locked");
    let mut child = sandbox.start(&MIGRATE);
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
    stderr.read_line(&mut line).expect("a line");
    assert!(line.contains(&std::process::id().to_string()), "{line}");
    assert_eq!(stored_format(&sandbox, "earthdaily"), "file");
    drop(lock);
    assert_eq!(finish(child).out, "earthdaily: file -> key\n");
}

#[test]
fn migrate_seals_a_large_record() {
    let (_service, sandbox) = earthdaily("");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let mut record = sandbox.record("earthdaily");
    // A sealed record is longer than the plain one, and may exceed the size limit for plain records.
    let filling = "x".repeat(13 * 1024 * 1024);
    record["tokens"]["filling"] = record["tokens"][""].clone();
    record["tokens"]["filling"]["secret"] = filling.into();
    sandbox.write(&sandbox.record_path("earthdaily"), &record.to_string());
    let token = sandbox.broker(&["token", "earthdaily"]).token();
    configure_key(&sandbox);
    let _ = sandbox.broker(&MIGRATE).ends(0).prints("earthdaily: file -> key");
    assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), token);
    assert_eq!(stored_format(&sandbox, "earthdaily"), "key");
}

#[test]
fn migrate_does_not_encrypt_the_login_file_of_earthscope_tools() {
    let (service, sandbox) = seismic();
    sandbox.write_config(&sandbox.config().replace("share = false\n", ""));
    log_in(&service, &sandbox);
    let token = sandbox.broker(&TOKEN).token();
    let shared = std::fs::read(sandbox.tokens_path()).expect("a login");
    configure_key(&sandbox);
    let _ = sandbox.broker(&MIGRATE).ends(0).prints("earthscope: file -> key");
    assert_sealed(&sandbox.state());
    assert_eq!(std::fs::read(sandbox.tokens_path()).expect("a login"), shared, "the official tools read it");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    let doctor = sandbox.broker(&["doctor", "--offline", "-v"]);
    let _ = doctor.prints("tokens.json").prints("all records are encrypted (store: key)");
    service.fault("token", Fault::Delay(Duration::from_millis(50)));
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_ne!(renewed, token);
    assert_ne!(std::fs::read(sandbox.tokens_path()).expect("a login"), shared);
    assert_sealed(&sandbox.state());
    assert_eq!(service.reuse_events(), 0);
}
