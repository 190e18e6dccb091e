//! Tests fallback files: records in the runtime folder, saved there while the state folder is not writable.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_e2e::{Run, Sandbox, age_file, finish};
use broker_testkit::{EarthScope, Fault, Rotation};
use chrono::TimeDelta;

use crate::stage::{block_state, expired_with, log_in, start_request, unblock_state, with_runtime_dir};

/// A renewed token that the broker saved to a fallback file, because the test had replaced the state folder by a file.
struct FallbackSave {
    service: EarthScope,
    sandbox: Sandbox,
    runtime: PathBuf,
    run: Run,
}

fn fallback_save() -> FallbackSave {
    // With `share = false`, the login is stored only in the record, not in EarthScope's own login file.
    let (service, sandbox) = expired_with(Rotation::RotateDetectReuse, 0, "share = false\n");
    let (sandbox, runtime) = with_runtime_dir(sandbox);
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = start_request(&sandbox, &["token", "earthscope"], &service, "token");
    block_state(&sandbox);
    FallbackSave { run: finish(child), service, sandbox, runtime }
}

impl FallbackSave {
    fn file(&self) -> PathBuf {
        let mut files = std::fs::read_dir(self.runtime.join("broker")).expect("a folder");
        files.next().expect("a file").expect("a file").path()
    }
}

#[test]
fn record_is_saved_to_fallback_file_and_restored_later() {
    let save = fallback_save();
    let FallbackSave { service, sandbox, runtime, .. } = &save;
    let token = save.run.clone().says(&runtime.join("broker").display().to_string()).token();
    // While the state folder is missing, the broker reads the fallback file.
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    unblock_state(&save.sandbox);
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token, "not the older record");
    sandbox.age("earthscope", TimeDelta::days(2));
    let renewed = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&renewed) && renewed != token);
    assert_eq!(sandbox.record("earthscope")["tokens"][""]["secret"], renewed, "the record is restored");
    let left = std::fs::read_dir(runtime.join("broker")).expect("a folder").count();
    assert_eq!(left, 0, "the fallback file is removed");
    assert_eq!((service.refreshes(), service.reuse_events()), (3, 0));
}

/// Returns a server, a sandbox with an old record in its state folder, and the path of the newer fallback file.
fn fallback_and_older() -> (EarthScope, Sandbox, PathBuf) {
    let save = fallback_save();
    unblock_state(&save.sandbox);
    let fallback = save.file();
    (save.service, save.sandbox, fallback)
}

fn edit(path: &Path, change: impl Fn(&mut serde_json::Value)) {
    let mut record = serde_json::from_slice(&std::fs::read(path).expect("a record")).expect("JSON");
    change(&mut record);
    std::fs::write(path, record.to_string()).expect("a record");
}

#[test]
fn record_in_runtime_folder_wins_if_its_login_is_newer() {
    let (service, sandbox, fallback) = fallback_and_older();
    // Each recorded failure raises the revision of a record, so a higher revision does not mean a newer grant.
    edit(&sandbox.record_path("earthscope"), |record| record["revision"] = 99.into());
    age_file(&fallback, TimeDelta::hours(25));
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token), "the newer refresh token is valid");
    assert!(!fallback.exists());
}

#[test]
fn stored_login_wins_over_older_record_in_runtime_folder() {
    let (service, sandbox, fallback) = fallback_and_older();
    let old = std::fs::read(&fallback).expect("a record");
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    assert!(!fallback.exists(), "a logout removes the fallback file");
    log_in(&service, &sandbox);
    let token = sandbox.broker(&["token", "earthscope"]).token();
    // Restores the old fallback file, as if the logout had failed to delete this file.
    sandbox.write(&fallback, &String::from_utf8(old).expect("text"));
    edit(&fallback, |record| record["revision"] = 99.into());
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
}

#[test]
fn record_is_restored_from_fallback_file_without_request() {
    let (_service, sandbox, fallback) = fallback_and_older();
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(!fallback.exists());
    assert_eq!(sandbox.record("earthscope")["tokens"][""]["secret"], token);
}

#[test]
fn fallback_record_is_found_through_symlink_to_state_folder() {
    let (service, sandbox, fallback) = fallback_and_older();
    let slash = format!("{}/", sandbox.state().display());
    let link = sandbox.home().join("link");
    std::os::unix::fs::symlink(sandbox.state(), &link).expect("a link");
    let token = sandbox.broker(&["--state-dir", &slash, "token", "earthscope"]).token();
    assert!(service.access_is_live(&token) && !fallback.exists());
    let linked = link.display().to_string();
    assert_eq!(sandbox.broker(&["token", "earthscope", "--state-dir", &linked]).token(), token);
}

#[test]
fn unreadable_fallback_file_is_not_deleted() {
    let (_service, sandbox, fallback) = fallback_and_older();
    edit(&fallback, |record| record["version"] = 99.into());
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    assert!(fallback.exists(), "the file of a newer broker version was deleted");
}
