//! `broker store migrate`: whatever ends it or stands in its way, no record is lost, and nothing is left as it was.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::Duration;

use broker_e2e::{Sandbox, finish};
use broker_testkit::Fault;

use crate::sealed::{assert_sealed, imagery, kept, seismic, with_key};
use crate::strace::{self, Call};

const MIGRATE: [&str; 2] = ["store", "migrate"];
const TOKEN: [&str; 2] = ["token", "earthscope"];

/// A migration in this direction (`BROKER_STORE`), and one back: at each call between lock and end something is done to the first.
fn at_each_call(
    mut sandbox: Sandbox,
    there: &str,
    back: &str,
    what: &str,
    some: impl Fn(&Call) -> bool,
) -> ([usize; 2], Sandbox) {
    let token = sandbox.broker(&TOKEN).token();
    sandbox = sandbox.with_env("BROKER_STORE", there);
    let calls = strace::calls(&sandbox, &MIGRATE);
    let lock = calls.iter().position(|(_, line)| line.contains("earthscope.lock\"")).expect("a lock");
    let (mut as_it_was, mut moved) = (0, 0);
    for (call, _) in calls[lock..].iter().filter(|(call, _)| some(call)) {
        sandbox = sandbox.with_env("BROKER_STORE", back);
        let _ = sandbox.broker(&MIGRATE).ends(0);
        let before = kept(&sandbox, "earthscope");
        sandbox = sandbox.with_env("BROKER_STORE", there);
        let ended = strace::inject(&sandbox, &MIGRATE, call, what);
        let at = format!("{what} at {} {}: {ended:?}", call.name, call.nth);
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{at}");
        if kept(&sandbox, "earthscope") == before {
            as_it_was += 1;
            let said = String::from_utf8_lossy(&ended.stdout).contains("->");
            assert!(!said && ended.status.code() != Some(0), "{at}: not moved, and all is well");
        } else {
            moved += 1;
        }
        let _ = sandbox.broker(&MIGRATE).ends(0);
        assert_ne!(kept(&sandbox, "earthscope"), before, "{at}: the next one goes on");
        for entry in std::fs::read_dir(sandbox.state()).expect("a folder").flatten() {
            let name = entry.file_name();
            let known = ["earthscope.json", "earthscope.lock"].iter().any(|known| name == *known);
            assert!(known, "{at}: {} is left behind", name.display());
        }
    }
    ([as_it_was, moved], sandbox)
}

#[ignore = "needs strace"]
#[test]
fn a_migration_that_is_killed_at_any_call_loses_no_record() {
    strace::need_strace();
    let (_service, config, mut sandbox) = seismic();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    for (there, back) in [("", "file"), ("file", "")] {
        let [as_it_was, moved];
        ([as_it_was, moved], sandbox) = at_each_call(sandbox, there, back, "signal=KILL", |_| true);
        assert!(as_it_was > 10 && moved > 1, "killed before and after: {as_it_was}, {moved}");
    }
}

#[ignore = "needs strace"]
#[test]
fn a_migration_without_room_leaves_the_record_as_it_was() {
    strace::need_strace();
    let (_service, config, mut sandbox) = seismic();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let writes = |call: &Call| {
        ["write", "fsync", "fdatasync", "ftruncate", "rename", "renameat"].contains(&call.name.as_str())
    };
    for (there, back) in [("", "file"), ("file", "")] {
        let as_it_was;
        ([as_it_was, _], sandbox) = at_each_call(sandbox, there, back, "error=ENOSPC", writes);
        assert!(as_it_was >= 4, "{as_it_was}");
    }
}

#[test]
fn a_copy_in_the_fallback_does_not_stay_plain() {
    let (service, config, sandbox) = seismic();
    let runtime = sandbox.home().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    sandbox.age("earthscope", chrono::TimeDelta::days(2));
    let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
    let held = service.hold("token");
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 2, Duration::from_secs(30)));
    let away = sandbox.state().with_extension("away");
    std::fs::rename(sandbox.state(), &away).expect("moved");
    std::fs::write(sandbox.state(), "").expect("a file in its place");
    drop(held);
    let _ = finish(child).says("WARNING").token();
    std::fs::remove_file(sandbox.state()).expect("the file is away");
    std::fs::rename(&away, sandbox.state()).expect("the folder is back");
    let second = std::fs::read_dir(runtime.join("broker"))
        .expect("a folder")
        .flatten()
        .next()
        .expect("a record")
        .path();
    let copy = std::fs::read(&second).expect("a record");
    let token = sandbox.broker(&["token", "earthscope", "--force"]).token();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let _ = sandbox.broker(&MIGRATE).ends(0).prints("earthscope: file -> key");
    // The way it is left where it could not be removed.
    std::fs::write(&second, copy).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&second, mode).expect("a mode");
    let _ = sandbox.broker(&MIGRATE).ends(0);
    assert!(!second.exists(), "the older copy is plain text");
    assert_eq!(kept(&sandbox, "earthscope"), "key");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
}

#[test]
fn what_was_set_aside_in_plain_text_is_told() {
    let (_service, config, sandbox) = imagery();
    sandbox.write_config(&config);
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let torn = std::fs::read(sandbox.record_path("earthdaily")).expect("a record");
    std::fs::write(sandbox.record_path("earthdaily"), &torn[..torn.len() / 2]).expect("torn");
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    for _ in 0..2 {
        let run = sandbox.broker(&MIGRATE).ends(0);
        let _ = run.says("earthdaily.json.aside-1 was set aside and is as it was, not sealed");
    }
    std::fs::remove_file(sandbox.state().join("earthdaily.json.aside-1")).expect("removed");
    assert_eq!(
        sandbox.broker(&MIGRATE).ends(0).err,
        "nothing to move: all records are kept in the configured way (key)\n"
    );
    assert_sealed(&sandbox.state());
}

#[test]
fn a_record_that_is_none_keeps_no_other_from_being_moved() {
    let (_service, config, sandbox) = imagery();
    sandbox.write_config(&config);
    let token = sandbox.broker(&["token", "earthdaily"]).token();
    symlink(sandbox.home().join("elsewhere"), sandbox.record_path("another")).expect("a link");
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let run = sandbox.broker(&["store", "status"]).ends(1);
    let _ = run.says("another: ").says("symbolic link").prints("earthdaily  file");
    let _ = sandbox.broker(&MIGRATE).ends(1).says("symbolic link").prints("earthdaily: file -> key");
    assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), token);
    let doctor = sandbox.broker(&["doctor", "--offline"]).ends(1);
    assert!(!doctor.out.contains("all records are sealed"), "that cannot be told: {}", doctor.out);
}

#[test]
fn who_has_the_lock_is_waited_for_and_named() {
    let (_service, config, sandbox) = imagery();
    sandbox.write_config(&config);
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let lock = File::options().write(true).open(sandbox.state().join("earthdaily.lock")).expect("a lock");
    lock.lock().expect("locked");
    let mut command = sandbox.command(&MIGRATE);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("its stderr"));
    stderr.read_line(&mut said).expect("a line");
    assert!(said.contains(&format!("waiting for process {}", std::process::id())), "{said}");
    assert_eq!(kept(&sandbox, "earthdaily"), "file");
    drop(lock);
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "earthdaily: file -> key\n");
}

#[test]
fn a_record_that_is_large_can_be_read_when_it_is_sealed() {
    let (_service, config, sandbox) = imagery();
    sandbox.write_config(&config);
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    let mut record = sandbox.record("earthdaily");
    // Sealed, it is longer than any plain one may be.
    let filling = "x".repeat(13 * 1024 * 1024);
    record["tokens"]["filling"] = record["tokens"][""].clone();
    record["tokens"]["filling"]["secret"] = filling.into();
    sandbox.write(&sandbox.record_path("earthdaily"), &record.to_string());
    let token = sandbox.broker(&["token", "earthdaily"]).token();
    sandbox.write_config(&(with_key(&sandbox, "a") + &config));
    let _ = sandbox.broker(&MIGRATE).ends(0).prints("earthdaily: file -> key");
    assert_eq!(sandbox.broker(&["token", "earthdaily"]).token(), token);
    assert_eq!(kept(&sandbox, "earthdaily"), "key");
}

#[test]
fn a_login_in_earthscopes_own_file_stays_there_and_works() {
    let (service, config, sandbox) = seismic();
    let sandbox = sandbox.with_config(&config.replace("share = false\n", ""));
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    let token = sandbox.broker(&TOKEN).token();
    let shared = std::fs::read(sandbox.tokens_path()).expect("a login");
    sandbox.write_config(&(with_key(&sandbox, "a") + &config.replace("share = false\n", "")));
    let _ = sandbox.broker(&MIGRATE).ends(0).prints("earthscope: file -> key");
    assert_sealed(&sandbox.state());
    assert_eq!(std::fs::read(sandbox.tokens_path()).expect("a login"), shared, "the official tools read it");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    let doctor = sandbox.broker(&["doctor", "--offline", "-v"]);
    let _ = doctor.prints("tokens.json, which is not sealed").prints("all records are sealed (key)");
    service.fault("token", Fault::Delay(Duration::from_millis(50)));
    let renewed = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_ne!(renewed, token);
    assert_ne!(std::fs::read(sandbox.tokens_path()).expect("a login"), shared);
    assert_sealed(&sandbox.state());
    assert_eq!(service.reuse_events(), 0);
}
