//! A login is kept: the journal of a renewal, lost answers, saves that fail, records of other versions.

use std::time::Duration;

use broker_e2e::{Sandbox, age_file, finish, signal};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;

use crate::stage::expired;

#[test]
fn before_a_refresh_token_is_sent_the_record_says_so() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let during = sandbox.record("earthscope");
    assert!(during["grant"]["sent_at"].is_string(), "{during}");
    let _ = sandbox.broker(&["status", "earthscope"]).ends(0).says("a renewal is under way since");
    let _ = finish(child).token();
    let after = sandbox.record("earthscope");
    assert!(after["grant"]["sent_at"].is_null(), "{after}");
    assert!(after["revision"].as_u64() > during["revision"].as_u64());
}

/// Kills a renewal after the service has replaced the refresh token, before it answers.
fn killed_in_the_gap(service: &EarthScope, sandbox: &Sandbox) {
    service.fault("token", Fault::HangAfter);
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    while service.refreshes() == 0 {
        std::thread::yield_now();
    }
    signal(&child, "KILL");
    let _ = finish(child).ends(-1);
}

#[test]
fn a_loss_in_the_window_that_nobody_can_close_is_said_as_such() {
    let (service, sandbox) = expired(Rotation::RotateDetectReuse, 0);
    killed_in_the_gap(&service, &sandbox);
    let said = "a renewal was cut off at 20";
    let run = sandbox.broker(&["token", "earthscope"]).ends(3).says(said);
    assert!(run.err.contains("; the service had already replaced the login"), "{}", run.err);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says(said);
    assert_eq!(service.count("token"), 2, "tried once, and a refused one never again");
    let _ = sandbox.broker(&["status", "earthscope"]).ends(0).says(said);
}

#[test]
fn a_period_of_grace_mends_a_kill_in_the_window() {
    let (service, sandbox) = expired(Rotation::RotateDetectReuse, 1);
    killed_in_the_gap(&service, &sandbox);
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null());
}

#[test]
fn a_login_ended_by_others_is_not_taken_for_a_cut_off_renewal() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.revoke_everything();
    let run = sandbox.broker(&["token", "earthscope"]).ends(3).says("no longer accepts");
    assert!(!run.err.contains("cut off"), "{}", run.err);
}

#[test]
fn a_request_that_surely_did_nothing_leaves_no_journal() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault_always("token", Fault::Status(429));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null(), "it was not even looked at");
    let url = service.url().to_owned();
    drop(service);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4).says(&url);
    assert!(sandbox.record("earthscope")["grant"]["sent_at"].is_null(), "it was not sent");
}

#[test]
fn a_lost_answer_is_asked_for_once_more_at_once() {
    for (rotation, grace) in [(Rotation::Keep, 0), (Rotation::Omit, 0), (Rotation::RotateDetectReuse, 1)] {
        let (service, sandbox) = expired(rotation, grace);
        service.fault("token", Fault::CutAfter);
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token));
        assert_eq!(service.count("token"), 2, "{rotation:?}");
    }
}

#[test]
fn answers_that_are_always_lost_are_no_loop() {
    let (service, sandbox) = expired(Rotation::Keep, 0);
    service.fault_always("token", Fault::CutAfter);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    assert_eq!(service.count("token"), 2);
    service.clear_faults();
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

#[test]
fn a_lost_answer_that_cannot_be_had_again_is_said_as_such() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault("token", Fault::CutAfter);
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3).says("a renewal was cut off at 20");
    assert_eq!(service.count("token"), 2);
}

/// Puts a file where the state folder is, while the service holds its answer back; gives the folder's new name.
fn lose_the_folder(service: &EarthScope, sandbox: &Sandbox) -> std::path::PathBuf {
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let away = sandbox.state().with_extension("away");
    std::fs::rename(sandbox.state(), &away).expect("moved");
    std::fs::write(sandbox.state(), "").expect("a file in its place");
    away
}

#[test]
fn what_cannot_be_saved_goes_to_a_second_place_loudly_and_comes_back() {
    let (service, sandbox) = expired(Rotation::RotateDetectReuse, 0);
    let runtime = sandbox.home().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = sandbox.start(&["token", "earthscope"]);
    let away = lose_the_folder(&service, &sandbox);
    let run = finish(child).says("WARNING").says(&runtime.join("broker").display().to_string());
    let token = run.token();
    // Also where the folder is still gone, what is held is found.
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), token);
    std::fs::remove_file(sandbox.state()).expect("the file is away");
    std::fs::rename(&away, sandbox.state()).expect("the folder is back");
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

fn kept_in(runtime: &std::path::Path) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(runtime.join("broker")).expect("a folder");
    files.next().expect("a file").expect("a file").path()
}

#[test]
fn a_record_of_the_first_version_is_read_and_what_it_does_not_know_is_kept() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    let mut record = sandbox.record("earthscope");
    // As version 0.1.0 wrote it.
    record.as_object_mut().expect("an object").remove("revision");
    record["failures"] = serde_json::json!({ "stac": {
        "at": "2026-11-22T01:00:00Z", "kind": "unavailable", "message": "m", "retry_at": "2026-11-22T01:00:00Z",
    }});
    for place in ["", "/issuer", "/grant", "/failures/stac"] {
        record.pointer_mut(place).expect("an object")["of_a_newer_version"] = place.into();
    }
    std::fs::write(sandbox.record_path("earthscope"), record.to_string()).expect("a record");
    let token = sandbox.broker(&["token", "earthscope"]).token();
    assert!(service.access_is_live(&token));
    let record = sandbox.record("earthscope");
    for place in ["", "/issuer", "/grant", "/failures/stac"] {
        let kept = &record.pointer(place).expect("an object")["of_a_newer_version"];
        assert_eq!(kept, place, "{record}");
    }
}

#[test]
fn a_refresh_token_in_the_ruins_of_an_answer_is_the_login_now() {
    let ruins = [r#""expires_in":1e400"#, "\"scope\":\"\\ud800\"", r#""a":[[[[["#];
    for ruin in ruins {
        let (service, sandbox) = expired(Rotation::Rotate, 0);
        let next = service.issue_refresh_token();
        let body = format!(r#"{{"access_token":"KANARIE-a","refresh_token" : "{next}",{ruin}}}"#);
        service.fault("token", Fault::Answer { status: 200, headers: Vec::new(), body });
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token), "{ruin}");
        assert_eq!(service.count("token"), 2, "{ruin}: asked again with what was saved");
    }
    // A refusal may repeat what was sent.
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    let body = r#"{"refresh_token":"KANARIE-b","error":1e400}"#.to_owned();
    service.fault("token", Fault::Answer { status: 400, headers: Vec::new(), body });
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}

/// A record that was kept in a second place, and the one beside it, which is older.
fn kept_elsewhere() -> (EarthScope, Sandbox, std::path::PathBuf) {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    let runtime = sandbox.home().join("run");
    std::fs::create_dir(&runtime).expect("a folder");
    let sandbox = sandbox.with_env("XDG_RUNTIME_DIR", &runtime.display().to_string());
    service.fault("token", Fault::Delay(Duration::from_millis(300)));
    let child = sandbox.start(&["token", "earthscope"]);
    let away = lose_the_folder(&service, &sandbox);
    let _ = finish(child).token();
    std::fs::remove_file(sandbox.state()).expect("the file is away");
    std::fs::rename(&away, sandbox.state()).expect("the folder is back");
    let kept = kept_in(&runtime);
    (service, sandbox, kept)
}

fn edit(path: &std::path::Path, change: impl Fn(&mut serde_json::Value)) {
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
fn who_waited_hears_that_the_renewal_was_cut_off_too() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    killed_in_the_gap(&service, &sandbox);
    service.fault_always("token", Fault::Delay(Duration::from_millis(200)));
    let all: Vec<_> = (0..4).map(|_| sandbox.start(&["token", "earthscope"])).collect();
    for child in all {
        let _ = finish(child).ends(3).says("a renewal was cut off at 20");
    }
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    let told = status["providers"][0]["last_failure"]["message"].as_str().expect("a message");
    assert!(told.contains("a renewal was cut off at 20"), "{told}");
}

#[test]
fn a_process_that_was_stopped_takes_the_answer_that_came_meanwhile() {
    let service = EarthScope::start(EarthScopeOptions { rotation: Rotation::Rotate, ..Default::default() });
    let config = format!("[providers.earthscope]\ndomain = \"{}\"\ntimeout = \"400ms\"\n", service.url());
    let sandbox = Sandbox::new().with_config(&config);
    let login = ["login", "earthscope", "--refresh-token-stdin"];
    let _ = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
    sandbox.age("earthscope", TimeDelta::days(2));
    service.forget_seen();
    service.fault("token", Fault::Delay(Duration::from_millis(100)));
    let child = sandbox.start(&["token", "earthscope"]);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    signal(&child, "STOP");
    // Longer than `timeout`, as a batch system or a person may.
    std::thread::sleep(Duration::from_millis(800));
    signal(&child, "CONT");
    let token = finish(child).token();
    assert!(service.access_is_live(&token));
}

#[test]
fn signals_of_batch_systems_wait_for_the_save_too() {
    for (name, number) in [("USR1", 10), ("USR2", 12), ("ALRM", 14), ("XCPU", 24), ("QUIT", 3)] {
        let (service, sandbox) = expired(Rotation::Rotate, 0);
        service.fault("token", Fault::Delay(Duration::from_millis(200)));
        let child = sandbox.start(&["token", "earthscope"]);
        assert!(service.wait_for("token", 1, Duration::from_secs(30)));
        signal(&child, name);
        let _ = finish(child).ends(128 + number);
        let token = sandbox.broker(&["token", "earthscope"]).token();
        assert!(service.access_is_live(&token), "{name}");
        assert_eq!(service.count("token"), 1, "{name}: it was saved");
    }
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
fn what_a_second_place_has_and_cannot_be_read_is_left() {
    let (_service, sandbox, kept) = kept_elsewhere();
    edit(&kept, |record| record["version"] = 99.into());
    let _ = sandbox.broker(&["token", "earthscope"]).ends(3);
    assert!(kept.exists(), "a newer version wrote it");
}

#[test]
fn a_service_that_renews_and_gives_no_token_is_not_asked_on_and_on() {
    let (service, sandbox) = expired(Rotation::Rotate, 0);
    service.fault_always("token", Fault::edit(|answer| answer["access_token"] = serde_json::Value::Null));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4).says("gives no token");
    assert_eq!(service.count("token"), 2);
    service.clear_faults();
    let _ = sandbox.broker(&["token", "earthscope"]).token();
}
