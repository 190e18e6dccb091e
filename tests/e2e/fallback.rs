//! A save that fails: the record is kept in a second place, and comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker_e2e::{Run, Sandbox, age_file, finish};
use broker_testkit::{EarthScope, Fault, Rotation};
use chrono::TimeDelta;

use crate::stage::expired_with;

/// A renewal whose state folder was taken away while the service held its answer back: a file is in its place.
struct Rescued {
    service: EarthScope,
    sandbox: Sandbox,
    runtime: PathBuf,
    away: PathBuf,
    run: Run,
}

fn rescued() -> Rescued {
    // What is in a file of other tools is no matter here.
    let (service, sandbox) = expired_with(Rotation::RotateDetectReuse, 0, "share = false\n");
    let runtime = sandbox.home().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let away = sandbox.state().with_extension("away");
    std::fs::rename(sandbox.state(), &away).expect("moved");
    std::fs::write(sandbox.state(), "").expect("a file in its place");
    Rescued { run: finish(child), service, sandbox, runtime, away }
}

impl Rescued {
    fn bring_the_folder_back(&self) {
        std::fs::remove_file(self.sandbox.state()).expect("the file is away");
        std::fs::rename(&self.away, self.sandbox.state()).expect("the folder is back");
    }

    /// What was kept.
    fn kept(&self) -> PathBuf {
        let mut files = std::fs::read_dir(self.runtime.join("broker")).expect("a folder");
        files.next().expect("a file").expect("a file").path()
    }
}

#[test]
fn what_cannot_be_saved_goes_to_a_fallback_loudly_and_comes_back() {
    let rescued = rescued();
    let Rescued { service, sandbox, runtime, .. } = &rescued;
    let token =
        rescued.run.clone().says("WARNING").says(&runtime.join("broker").display().to_string()).token();
    // Also where the folder is still gone, what is held is found.
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    rescued.bring_the_folder_back();
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token, "not the older record beside it");
    sandbox.age("earthscope", TimeDelta::days(2));
    let renewed = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&renewed) && renewed != token);
    assert!(
        sandbox.record("earthscope")["tokens"][""]["secret"] == renewed.as_str(),
        "it is in its place again"
    );
    let left = std::fs::read_dir(runtime.join("broker")).expect("a folder").count();
    assert_eq!(left, 0, "and nowhere else");
    assert_eq!((service.refreshes(), service.reuse_events()), (3, 0));
}

/// The record that was kept, and the one beside it, which is older.
fn kept_elsewhere() -> (EarthScope, Sandbox, PathBuf) {
    let rescued = rescued();
    rescued.bring_the_folder_back();
    let kept = rescued.kept();
    (rescued.service, rescued.sandbox, kept)
}

fn edit(path: &Path, change: impl Fn(&mut serde_json::Value)) {
    let mut record = serde_json::from_slice(&std::fs::read(path).expect("a record")).expect("JSON");
    change(&mut record);
    std::fs::write(path, record.to_string()).expect("a record");
}

#[test]
fn of_two_records_the_one_with_the_later_grant_is_used() {
    let (service, sandbox, kept) = kept_elsewhere();
    // Others have noted failures with the older one meanwhile.
    edit(&sandbox.record_path("earthscope"), |record| record["revision"] = 99.into());
    age_file(&kept, TimeDelta::hours(25));
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token), "the kept refresh token is the good one");
    assert!(!kept.exists());
}

#[test]
fn a_login_made_since_is_not_undone_by_an_older_one_that_was_kept() {
    let (service, sandbox, kept) = kept_elsewhere();
    let old = std::fs::read(&kept).expect("a record");
    let _ = sandbox.broker(&["logout", "earthscope", "--local"]).ends(0);
    assert!(!kept.exists(), "a logout forgets it too");
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    let token = sandbox.broker(&["token", "earthscope"]).token();
    // It was in a place that the one who logged out does not know.
    sandbox.write(&kept, &String::from_utf8(old).expect("text"));
    edit(&kept, |record| record["revision"] = 99.into());
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
}

#[test]
fn what_is_kept_elsewhere_goes_back_with_the_next_call_though_it_need_not_be_renewed() {
    let (_service, sandbox, kept) = kept_elsewhere();
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(!kept.exists());
    assert_eq!(sandbox.record("earthscope")["tokens"][""]["secret"], token);
}

#[test]
fn a_state_folder_by_another_spelling_is_the_same() {
    let (service, sandbox, kept) = kept_elsewhere();
    let slash = format!("{}/", sandbox.state().display());
    let link = sandbox.home().join("link");
    std::os::unix::fs::symlink(sandbox.state(), &link).expect("a link");
    let token = sandbox.broker(&["token", "earthscope", "--state-dir", &slash]).token();
    assert!(service.access_is_live(&token) && !kept.exists());
    let linked = link.display().to_string();
    assert_eq!(sandbox.broker(&["token", "earthscope", "--state-dir", &linked]).token(), token);
}

#[test]
fn what_a_fallback_has_and_cannot_be_read_is_left() {
    let (_service, sandbox, kept) = kept_elsewhere();
    edit(&kept, |record| record["version"] = 99.into());
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    assert!(kept.exists(), "a newer version wrote it");
}
