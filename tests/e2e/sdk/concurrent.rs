//! Tests what happens when EarthScope's tools change their login file during an operation of the broker.

use broker_e2e::finish;
use broker_testkit::{EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::json;

use super::{TOKEN, jwt, read_login, seismic_with_login, write_login};
use crate::stage::{logged_in, start_request};

#[test]
fn login_of_earthscope_tools_during_a_renewal_is_kept() {
    let (service, sandbox) = seismic_with_login(Rotation::Rotate);
    let hold = service.hold("token");
    let child = start_request(&sandbox, &TOKEN, &service, "token");
    let theirs = service.issue_refresh_token();
    write_login(&sandbox, &json!({ "refresh_token": theirs }));
    drop(hold);
    let _ = finish(child).token();
    assert_eq!(read_login(&sandbox), json!({ "refresh_token": theirs }));
    let token = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(service.access_is_live(&token) && read_login(&sandbox)["refresh_token"] != theirs);
}

#[test]
fn renewal_does_not_undo_logout_of_earthscope_tools() {
    let (service, sandbox) = seismic_with_login(Rotation::Rotate);
    let hold = service.hold("token");
    let child = start_request(&sandbox, &TOKEN, &service, "token");
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    drop(hold);
    let _ = finish(child).token();
    assert!(!sandbox.tokens_path().exists());
    let _ = sandbox.broker(&TOKEN).ends(3);
}

#[test]
fn half_written_login_file_does_not_count_as_logout() {
    let (service, sandbox) = seismic_with_login(Rotation::Rotate);
    let token = sandbox.broker(&TOKEN).token();
    let whole = std::fs::read_to_string(sandbox.tokens_path()).expect("a file");
    for half in ["", "{\"access_tok", &whole[..whole.len() / 2], "[]", "null"] {
        sandbox.write(&sandbox.tokens_path(), half);
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{half:?}: the stored token is used");
        sandbox.age("earthscope", TimeDelta::days(2));
        let _ = sandbox.broker(&TOKEN).ends(3).says("tokens.json");
        let after = std::fs::read_to_string(sandbox.tokens_path()).expect("a file");
        assert_eq!(after, half, "the file is unchanged");
        sandbox.write(&sandbox.tokens_path(), &whole);
        sandbox.age("earthscope", -TimeDelta::days(2));
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{half:?}: the whole file is read again");
    }
    sandbox.write(&sandbox.tokens_path(), "{\"access_tok");
    service.approve_all();
    let _ = sandbox.broker(&["login", "earthscope"]).ends(0).says("tokens.json.aside-1");
    assert!(read_login(&sandbox)["refresh_token"].is_string());
}

#[test]
fn failed_renewal_does_not_undo_logout_of_earthscope_tools() {
    for fault in [
        Fault::CutAfter,
        Fault::Answer { status: 400, headers: vec![], body: "{\"error\":\"invalid_grant\"}".into() },
    ] {
        let (service, sandbox) = seismic_with_login(Rotation::RotateDetectReuse);
        service.fault_always("token", fault);
        let hold = service.hold("token");
        let child = start_request(&sandbox, &TOKEN, &service, "token");
        std::fs::remove_file(sandbox.tokens_path()).expect("removed");
        drop(hold);
        let run = finish(child);
        assert!([3, 4].contains(&run.code), "{run:?}");
        assert!(!sandbox.tokens_path().exists());
        let _ = sandbox.broker(&TOKEN).ends(3);
    }
}

#[test]
fn login_of_another_user_does_not_get_stored_aws_keys() {
    let (service, sandbox) = seismic_with_login(Rotation::Rotate);
    let keys = ["token", "earthscope", "--role", "s3-miniseed-v2"];
    let hold = service.hold("token");
    let child = start_request(&sandbox, &keys, &service, "token");
    let theirs = jwt(service.url(), TimeDelta::days(1), |claims| claims["sub"] = "auth0|bob".into());
    let login = json!({ "access_token": theirs, "refresh_token": service.issue_refresh_token() });
    write_login(&sandbox, &login);
    drop(hold);
    let _ = finish(child).ends(0);
    assert_eq!(read_login(&sandbox), login);
    assert_eq!(sandbox.broker(&TOKEN).token(), theirs);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["account"], "auth0|bob");
    assert!(!status["providers"][0]["scopes"].to_string().contains("aws"), "{status}");
    service.fault_always("aws", Fault::Status(503));
    let _ = sandbox.broker(&keys).ends(4);
}

#[test]
fn login_of_earthscope_tools_during_a_logout_is_kept() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let hold = service.hold("revoke");
    let child = start_request(&sandbox, &["logout", "earthscope"], &service, "revoke");
    let theirs = json!({ "refresh_token": service.issue_refresh_token() });
    write_login(&sandbox, &theirs);
    drop(hold);
    let _ = finish(child).ends(0).says("tokens.json");
    assert_eq!((read_login(&sandbox), service.revoked().len()), (theirs, 1));
}

#[test]
fn missing_folder_of_login_file_does_not_count_as_logout() {
    let (service, sandbox) = seismic_with_login(Rotation::RotateDetectReuse);
    let folder = sandbox.home().join(".earthscope");
    let moved = sandbox.home().join("moved");
    let hold = service.hold("token");
    let child = start_request(&sandbox, &TOKEN, &service, "token");
    std::fs::rename(&folder, &moved).expect("moved");
    drop(hold);
    let token = finish(child).says("WARNING").token();
    std::fs::rename(&moved, &folder).expect("moved");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_eq!(service.reuse_events(), 0);
    std::fs::rename(&folder, &moved).expect("moved");
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).fails_with("login_required");
    std::fs::rename(&moved, &folder).expect("moved");
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_eq!(service.reuse_events(), 0);
}

#[test]
fn two_state_folders_share_one_earthscope_login() {
    let (service, sandbox) = seismic_with_login(Rotation::RotateDetectReuse);
    let folders: Vec<_> =
        (0..4).map(|number| sandbox.home().join(format!("state-{number}")).display().to_string()).collect();
    let start = |folder: &String| sandbox.start(&["token", "earthscope", "--state-dir", folder]);
    let started: Vec<_> = folders.iter().map(start).collect();
    let tokens: Vec<_> = started.into_iter().map(|child| finish(child).token()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "all use the token of the first");
    assert_eq!((service.refreshes(), service.reuse_events()), (1, 0));
}
