//! What the tools do while the broker is at it, and what one finds half done.

use std::time::Duration;

use broker_e2e::finish;
use broker_testkit::{EarthScopeOptions, Fault, Rotation};
use chrono::TimeDelta;
use serde_json::json;

use super::{TOKEN, jwt, leave, left, sandbox, service};
use crate::stage::logged_in;

#[test]
fn a_login_that_the_tools_make_during_a_renewal_is_kept() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let refresh = service.issue_refresh_token();
    leave(&sandbox, &json!({ "refresh_token": refresh }));
    let hold = service.hold("token");
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let theirs = service.issue_refresh_token();
    leave(&sandbox, &json!({ "refresh_token": theirs }));
    drop(hold);
    let _ = finish(child).token();
    assert_eq!(left(&sandbox), json!({ "refresh_token": theirs }));
    let token = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert!(service.access_is_live(&token) && left(&sandbox)["refresh_token"] != theirs);
}

#[test]
fn a_logout_of_the_tools_during_a_renewal_counts() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let hold = service.hold("token");
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    std::fs::remove_file(sandbox.tokens_path()).expect("removed");
    drop(hold);
    let _ = finish(child).token();
    assert!(!sandbox.tokens_path().exists());
    let _ = sandbox.broker(&TOKEN).ends(3);
}

#[test]
fn half_a_file_is_waited_for_and_never_taken_for_a_logout() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let whole = json!({ "refresh_token": service.issue_refresh_token() });
    leave(&sandbox, &whole);
    let token = sandbox.broker(&TOKEN).token();
    let whole = std::fs::read_to_string(sandbox.tokens_path()).expect("a file");
    for half in ["", "{\"access_tok", &whole[..whole.len() / 2], "[]", "null"] {
        sandbox.write(&sandbox.tokens_path(), half);
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{half:?}: what is held still serves");
        sandbox.age("earthscope", TimeDelta::days(2));
        let _ = sandbox.broker(&TOKEN).ends(3).says("tokens.json").says("broker login earthscope");
        assert_eq!(std::fs::read_to_string(sandbox.tokens_path()).expect("a file"), half, "it is left");
        sandbox.write(&sandbox.tokens_path(), &whole);
        sandbox.age("earthscope", -TimeDelta::days(2));
        assert_eq!(sandbox.broker(&TOKEN).token(), token, "{half:?}: it was only half written");
    }
    sandbox.write(&sandbox.tokens_path(), "{\"access_tok");
    service.approve_all();
    let _ = sandbox.broker(&["login", "earthscope"]).ends(0).says("tokens.json.aside-1");
    assert!(left(&sandbox)["refresh_token"].is_string());
}

/// A renewal that fails after the tools have logged out does not bring the login back.
#[test]
fn a_logout_of_the_tools_during_a_renewal_that_fails_counts() {
    for fault in [
        Fault::CutAfter,
        Fault::Answer { status: 400, headers: vec![], body: "{\"error\":\"invalid_grant\"}".into() },
    ] {
        let service = service(Rotation::RotateDetectReuse);
        let sandbox = sandbox(&service);
        leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
        service.fault_always("token", fault);
        let hold = service.hold("token");
        let child = sandbox.start(&TOKEN);
        assert!(service.wait_for("token", 1, Duration::from_secs(30)));
        std::fs::remove_file(sandbox.tokens_path()).expect("removed");
        drop(hold);
        let run = finish(child);
        assert!([3, 4].contains(&run.code), "{run:?}");
        assert!(!sandbox.tokens_path().exists());
        let _ = sandbox.broker(&TOKEN).ends(3);
    }
}

/// Keys that are had in the name of one person are not those of who logged in meanwhile.
#[test]
fn a_login_of_another_person_on_the_way_to_keys_is_theirs_alone() {
    let service = service(Rotation::Rotate);
    let sandbox = sandbox(&service);
    let config = format!("[providers.earthscope]\ndomain = \"{0}\"\napi_url = \"{0}\"\n", service.url());
    sandbox.write_config(&config);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let keys = ["token", "earthscope", "--role", "s3-miniseed-v2"];
    let hold = service.hold("token");
    let child = sandbox.start(&keys);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    let theirs = jwt(service.url(), TimeDelta::days(1), |claims| claims["sub"] = "auth0|bob".into());
    let login = json!({ "access_token": theirs, "refresh_token": service.issue_refresh_token() });
    leave(&sandbox, &login);
    drop(hold);
    let of_ada = finish(child).ends(0).out;
    assert_eq!(left(&sandbox), login);
    assert_eq!(sandbox.broker(&TOKEN).token(), theirs);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    assert_eq!(status["providers"][0]["account"], "auth0|bob");
    assert!(!status["providers"][0]["scopes"].to_string().contains("aws"), "{status}");
    service.fault_always("aws", Fault::Status(503));
    let _ = sandbox.broker(&keys).ends(4);
    drop(of_ada);
}

/// One who logs out here while somebody logs in there.
#[test]
fn a_login_made_during_a_logout_is_left() {
    let (service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let hold = service.hold("revoke");
    let child = sandbox.start(&["logout", "earthscope"]);
    assert!(service.wait_for("revoke", 1, Duration::from_secs(30)));
    let theirs = json!({ "refresh_token": service.issue_refresh_token() });
    leave(&sandbox, &theirs);
    drop(hold);
    let _ = finish(child).ends(0).says("contains another login");
    assert_eq!((left(&sandbox), service.revoked().len()), (theirs, 1));
}

/// A home on another disk that goes away for a while.
#[test]
fn a_folder_that_is_away_is_no_logout() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = sandbox(&service);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let folder = sandbox.home().join(".earthscope");
    let away = sandbox.home().join("away");
    let hold = service.hold("token");
    let child = sandbox.start(&TOKEN);
    assert!(service.wait_for("token", 1, Duration::from_secs(30)));
    std::fs::rename(&folder, &away).expect("moved");
    drop(hold);
    let token = finish(child).says("WARNING").token();
    std::fs::rename(&away, &folder).expect("moved");
    assert_eq!(sandbox.broker(&TOKEN).token(), token);
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_eq!(service.reuse_events(), 0);
    std::fs::rename(&folder, &away).expect("moved");
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).fails_with("login_required");
    std::fs::rename(&away, &folder).expect("moved");
    let _ = sandbox.broker(&["token", "earthscope", "--force"]).token();
    assert_eq!(service.reuse_events(), 0);
}

#[test]
fn two_state_folders_share_one_login() {
    let service = service(Rotation::RotateDetectReuse);
    let sandbox = sandbox(&service);
    leave(&sandbox, &json!({ "refresh_token": service.issue_refresh_token() }));
    let folders: Vec<_> =
        (0..4).map(|number| sandbox.home().join(format!("state-{number}")).display().to_string()).collect();
    let start = |folder: &String| sandbox.start(&["token", "earthscope", "--state-dir", folder]);
    let started: Vec<_> = folders.iter().map(start).collect();
    let tokens: Vec<_> = started.into_iter().map(|child| finish(child).token()).collect();
    assert!(tokens.iter().all(|token| *token == tokens[0]), "who waited uses what the first one wrote");
    assert_eq!((service.refreshes(), service.reuse_events()), (1, 0));
}
