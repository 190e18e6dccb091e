//! Tests Carbon Mapper: password login and scoped tokens.

use broker_e2e::Sandbox;
use broker_testkit::{CarbonMapper, Fault};
use chrono::TimeDelta;
use serde_json::json;

use crate::stage::carbonmapper;

const PASSWORD: &str = "standin-password";
const GUESS: &str = "guess-KANARIE";
const LOGIN: [&str; 3] = ["login", "carbonmapper", "--password-stdin"];

/// Starts a fake server, and a sandbox with the user's email address.
fn with_email() -> (CarbonMapper, Sandbox) {
    let (service, sandbox) = carbonmapper("");
    (service, sandbox.with_env("CARBONMAPPER_EMAIL", "ada@example.org"))
}

fn logged_in() -> (CarbonMapper, Sandbox) {
    let (service, sandbox) = with_email();
    let _ = sandbox.broker_reading(&LOGIN, &format!("{PASSWORD}\n")).ends(0).says("ada@example.org");
    (service, sandbox)
}

#[test]
fn stored_scoped_token_is_reused_by_the_next_call() {
    let (service, sandbox) = logged_in();
    let access = sandbox.broker(&["token", "carbonmapper"]).token();
    assert!(service.access_is_live(&access));
    let scoped = ["token", "carbonmapper", "--scope", "stac", "--expires", "7d"];
    let run = sandbox.broker(&scoped).says("UTC");
    let stac = run.token();
    assert_ne!(stac, access);
    let again = sandbox.broker(&scoped);
    assert_eq!(again.err, "", "no message for a stored token");
    assert_eq!(again.token(), stac);
    assert_eq!(service.mints(), 1);
    let json = sandbox.broker(&[&scoped[..], &["--format", "json"]].concat()).json();
    let fields = ["version", "provider", "scope"].map(|key| json[key].to_string());
    assert_eq!(fields, ["1", "\"carbonmapper\"", "\"stac\""]);
    let record = std::fs::read_to_string(sandbox.record_path("carbonmapper")).expect("a record");
    assert!(record.contains(&stac) && !record.contains(PASSWORD), "the token is stored without the password");
}

#[test]
fn name_option_sets_the_name_of_a_new_scoped_token() {
    let (service, sandbox) = logged_in();
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac", "--name", "for the paper"]).token();
    assert_eq!(service.minted()[0].0, "for the paper");
}

#[test]
fn expired_access_token_is_refreshed() {
    let (service, sandbox) = logged_in();
    let first = sandbox.broker(&["token", "carbonmapper"]).token();
    sandbox.age("carbonmapper", TimeDelta::minutes(6));
    assert_ne!(sandbox.broker(&["token", "carbonmapper"]).token(), first);
    assert_eq!((service.pairs(), service.refreshes()), (1, 1));
    service.revoke_refresh_tokens();
    sandbox.age("carbonmapper", TimeDelta::minutes(6));
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(3).fails_with("grant_refused");
    // With a configured password, the broker logs in again automatically.
    let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", PASSWORD);
    let _ = sandbox.broker(&["token", "carbonmapper"]).token();
    assert_eq!(service.pairs(), 2);
}

#[test]
fn refresh_token_flag_fails_for_carbonmapper_and_earthdaily() {
    let (_service, sandbox) = logged_in();
    for provider in ["carbonmapper", "earthdaily"] {
        let run = sandbox.broker(&["token", provider, "--refresh-token"]);
        let _ = run.ends(2).fails_with("request_unsupported");
    }
}

#[test]
fn wrong_password_is_sent_only_once() {
    let (service, sandbox) = with_email();
    let _ = sandbox.broker_reading(&LOGIN, GUESS).ends(6).omits(GUESS);
    assert_eq!(service.count("pair"), 1);
    let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", GUESS);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(6);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(6).fails_with("password_refused");
    assert_eq!(service.count("pair"), 2, "an automatic attempt is made once");
    let fingerprint = sandbox.record("carbonmapper")["failures"][""]["secret_mark"].clone();
    assert_eq!(fingerprint.as_str().map(str::len), Some(4), "16 bits confirm no guess: {fingerprint}");
}

#[test]
fn status_422_refuses_only_a_malformed_email() {
    for (code, field) in [(4, json!(["body"])), (4, json!([])), (6, json!(["body", "email"]))] {
        let (service, sandbox) = with_email();
        let sandbox = sandbox.with_env("CARBONMAPPER_PASSWORD", PASSWORD);
        let body = json!({ "detail": [{ "loc": field, "msg": "field required" }] }).to_string();
        service.fault("pair", Fault::Answer { status: 422, headers: vec![], body });
        let _ = sandbox.broker(&["token", "carbonmapper"]).ends(code);
    }
}

#[test]
fn login_without_terminal_fails_without_a_request() {
    for ((service, sandbox), missing) in
        [(carbonmapper(""), "CARBONMAPPER_EMAIL"), (with_email(), "CARBONMAPPER_PASSWORD")]
    {
        let run = sandbox.broker(&["login", "carbonmapper"]).ends(3);
        let _ = run.fails_with("prompt_unavailable").says(missing);
        assert!(service.seen().is_empty());
    }
}

#[test]
fn logout_names_the_scoped_tokens_that_remain_valid() {
    let (service, sandbox) = logged_in();
    let _ = sandbox.broker(&["token", "carbonmapper", "--scope", "stac"]).token();
    let name = service.minted()[0].0.clone();
    let run = sandbox.broker(&["logout", "carbonmapper"]).ends(0);
    let _ = run.says("platform.carbonmapper.org/account/tokens").says(&name);
    let _ = sandbox.broker(&["token", "carbonmapper"]).ends(3);
}
