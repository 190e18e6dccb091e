//! Tests that faults of services, networks and disks lose no login.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::time::Duration;

use broker_e2e::{Sandbox, Started, is_log};
use broker_testkit::{EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions, ExpiresIn, Fault};
use chrono::TimeDelta;
use serde_json::json;

use crate::stage::{earthdaily, logged_in, mode, set_mode, start_request};

fn imagery() -> (EarthDaily, Sandbox) {
    earthdaily("timeout = \"1s\"\n")
}

fn seismic() -> (EarthScope, Sandbox) {
    logged_in(EarthScopeOptions::default(), "timeout = \"1s\"\n")
}

#[test]
fn service_fault_exits_with_4_until_the_service_recovers() {
    let faults = [
        Fault::Html(200),
        Fault::Empty(200),
        Fault::Truncated,
        Fault::Garbage,
        Fault::Huge(10_000_000),
        Fault::Redirect("https://elsewhere.example/steal".to_owned()),
        Fault::Status(503),
        Fault::CutBefore,
        Fault::Hang,
    ];
    for fault in faults {
        let (service, sandbox) = imagery();
        service.fault_always("token", fault.clone());
        let run = sandbox.broker(&["token", "earthdaily"]).ends(4);
        assert!(run.out.is_empty() && !run.err.contains("login"), "{fault:?}: {run:?}");
        service.clear_faults();
        let _ = sandbox.broker(&["token", "earthdaily"]).token();
    }
}

#[test]
fn redirect_by_the_token_endpoint_is_not_followed() {
    let (service, sandbox) = imagery();
    let trap = EarthDaily::start(EarthDailyOptions::default());
    service.fault_always("token", Fault::Redirect(trap.auth_url()));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).fails_with("redirect_refused");
    assert!(trap.seen().is_empty(), "the secret is sent only to the configured URL");
}

#[test]
fn stored_token_is_used_without_network_until_expiry() {
    let (service, sandbox) = seismic();
    let stored = sandbox.broker(&["token", "earthscope"]).token();
    drop(service);
    // The token is valid for a day. After 23.5 hours, it is due for renewal but still valid.
    sandbox.age("earthscope", TimeDelta::minutes(23 * 60 + 30));
    let run = sandbox.broker(&["token", "earthscope"]).says("earthscope");
    assert_eq!(run.token(), stored);
    let second = sandbox.broker(&["token", "earthscope"]);
    assert_eq!(second.err, "", "no second attempt yet");
    assert_eq!(second.token(), stored);
    sandbox.age("earthscope", TimeDelta::hours(1));
    let _ = sandbox.broker(&["token", "earthscope"]).ends(4);
    let record = sandbox.record("earthscope");
    assert!(record["grant"]["secret"].is_string() && record["grant"]["refused_at"].is_null());
}

#[test]
fn retry_after_header_stops_retries_and_is_in_the_error() {
    let (service, sandbox) = imagery();
    let headers = vec![("Retry-After".to_owned(), "120".to_owned())];
    service.fault_always("token", Fault::Answer { status: 429, headers, body: String::new() });
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(4).fails_with("rate_limited").says("2m");
    assert_eq!(service.count("token"), 1, "one request");
}

#[test]
fn http_401_and_403_of_token_endpoint_are_refusals() {
    let (service, sandbox) = imagery();
    let sandbox = sandbox.with_env("EDS_SECRET", "wrong-KANARIE");
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(6).says("HTTP 401");
    assert_eq!(service.count("token"), 1, "a refusal is not retried");
    let other = EarthDaily::start(EarthDailyOptions { environment_mismatch: true, ..Default::default() });
    let sandbox = sandbox.with_env("EDS_SECRET", EarthDaily::SECRET);
    sandbox.write_config(&sandbox.config().replace(service.url(), other.url()));
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(6).says("HTTP 403");
}

#[test]
fn new_token_that_has_already_expired_is_an_error() {
    let options =
        EarthDailyOptions { expires_in_form: ExpiresIn::Missing, jwt: true, ..EarthDailyOptions::default() };
    let service = EarthDaily::start(options);
    let config = format!("[providers.earthdaily]\nauth_url = \"{}\"\n", service.auth_url());
    let sandbox = Sandbox::new().with_config(&config).with_env("EDS_SECRET", EarthDaily::SECRET);
    // The service's clock is a day behind. The broker corrects the expiry by the `Date` header of the response.
    service.set_date_skew(-86_400);
    let json = sandbox.broker(&["token", "earthdaily", "--format", "json"]).json();
    assert!((3500..=3605).contains(&json["expires_in"].as_i64().expect("seconds")), "{json}");
    service.set_date_skew(0);
    service.fault_always("token", Fault::edit(|answer| answer["expires_in"] = (-5).into()));
    let _ = sandbox.broker(&["token", "earthdaily", "--force"]).ends(4).fails_with("token_expired");
}

#[test]
fn login_quarantines_an_unreadable_record() {
    let newer = r#"{"version":99,"provider":"earthscope","sealed":"x"}"#;
    let foreign = r#"{"version":1,"provider":"somebody"}"#;
    for content in ["", "{\"version\":1,\"prov", newer, foreign, "not a record at all"] {
        let (service, sandbox) = logged_in(EarthScopeOptions::default(), "share = false\n");
        let path = sandbox.record_path("earthscope");
        std::fs::write(&path, content).expect("a record");
        let _ = sandbox.broker(&["token", "earthscope"]).ends(3).fails_with("login_required");
        assert_eq!(std::fs::read_to_string(&path).expect("a record"), content);
        let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
        assert_eq!(status["providers"][0]["state"], "login_required", "{content:?}");
        let login = ["login", "earthscope", "--refresh-token-stdin"];
        let run = sandbox.broker_reading(&login, &service.issue_refresh_token()).ends(0);
        let _ = run.says("earthscope.json.aside-1");
        let _ = sandbox.broker(&["token", "earthscope"]).token();
        let quarantined = std::fs::read_to_string(sandbox.state().join("earthscope.json.aside-1"));
        assert_eq!(quarantined.expect("the quarantined record"), content);
    }
}

#[test]
fn record_fields_of_newer_broker_versions_are_kept() {
    let (_service, sandbox) = seismic();
    let mut record = sandbox.record("earthscope");
    record["later"] = "kept".into();
    record["grant"]["later"] = "kept too".into();
    std::fs::write(sandbox.record_path("earthscope"), record.to_string()).expect("a record");
    sandbox.age("earthscope", TimeDelta::days(2));
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    assert_eq!(sandbox.record("earthscope")["later"], "kept");
}

#[test]
fn records_are_0600_in_a_folder_of_0700() {
    let (_service, sandbox) = seismic();
    assert_eq!(mode(&sandbox.record_path("earthscope")), 0o600);
    assert_eq!(mode(&sandbox.state().join("earthscope.lock")), 0o600);
    assert_eq!(mode(&sandbox.state()), 0o700);
}

#[test]
fn record_that_is_a_symbolic_link_is_not_followed() {
    let (service, sandbox) = seismic();
    let path = sandbox.record_path("earthscope");
    let elsewhere = sandbox.home().join("elsewhere.json");
    std::fs::rename(&path, &elsewhere).expect("moved");
    symlink(&elsewhere, &path).expect("a link");
    let before = std::fs::read(&elsewhere).expect("a file");
    let requests = service.seen().len();
    let _ = sandbox.broker(&["token", "earthscope"]).ends(1).fails_with("store_unreadable");
    assert_eq!(std::fs::read(&elsewhere).expect("a file"), before);
    assert_eq!(service.seen().len(), requests);
}

#[test]
fn unwritable_state_folder_fails_before_requests() {
    let (service, sandbox) = seismic();
    sandbox.age("earthscope", TimeDelta::days(2));
    let requests = service.seen().len();
    // Root can write to a folder of any mode, so a file takes the place of the folder.
    let blocked = sandbox.home().join("blocked");
    std::fs::write(&blocked, "").expect("a file");
    let state = blocked.display().to_string();
    let run = sandbox.broker(&["token", "earthscope", "--state-dir", &state]);
    let _ = run.fails_with("store_unreadable").ends(1);
    assert_eq!(service.seen().len(), requests, "no request");
}

#[test]
fn caller_with_valid_token_does_not_wait_for_a_renewal() {
    let (service, sandbox) = seismic();
    let stored = sandbox.broker(&["token", "earthscope"]).token();
    sandbox.age("earthscope", TimeDelta::minutes(23 * 60 + 30));
    service.forget_seen();
    // One process waits for a slow renewal. A second process must print the stored token at once.
    service.fault("token", Fault::Delay(Duration::from_millis(800)));
    let slow = start_request(&sandbox, &["token", "earthscope"], &service, "token");
    assert_eq!(sandbox.broker(&["token", "earthscope"]).token(), stored);
    assert_ne!(broker_e2e::finish(slow).token(), stored);
    assert_eq!(service.count("token"), 1);
}

#[test]
fn world_writable_state_folder_is_refused() {
    let (service, sandbox) = imagery();
    let open = sandbox.home().join("open");
    std::fs::create_dir(&open).expect("a folder");
    set_mode(&open, 0o777);
    let run = sandbox.broker(&["token", "earthdaily", "--state-dir", "open"]);
    let _ = run.ends(1).fails_with("store_unwritable").says("chmod 700");
    assert!(service.seen().is_empty());
}

#[test]
fn signal_while_broker_waits_to_retry_prevents_the_retry() {
    let (service, sandbox) = imagery();
    let headers = vec![("Retry-After".to_owned(), "2".to_owned())];
    service.fault_always("token", Fault::Answer { status: 429, headers, body: String::new() });
    let child = start_request(&sandbox, &["token", "earthdaily"], &service, "token");
    service.clear_faults();
    broker_e2e::signal(&child, "INT");
    assert_eq!(broker_e2e::finish(child).code, 130);
    assert_eq!(service.count("token"), 1);
}

/// Starts eight `broker` processes while the test holds the record's lock. Releases the lock when all eight wait.
fn eight_waiting(sandbox: &Sandbox, words: &[&str]) -> Vec<Started> {
    std::fs::create_dir_all(sandbox.state()).expect("a folder");
    let lock = std::fs::File::create(sandbox.state().join("earthdaily.lock")).expect("a lock file");
    lock.lock().expect("locked");
    let mut all: Vec<_> = (0..8).map(|_| sandbox.start(words)).collect();
    for child in &mut all {
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
        let mut line = String::new();
        while line.is_empty() || is_log(&line) {
            line.clear();
            stderr.read_line(&mut line).expect("a line");
        }
        assert!(line.starts_with("waiting for "), "{line}");
        child.stderr = Some(stderr.into_inner());
    }
    all
}

#[test]
fn waiting_processes_fail_together_after_one_failed_request() {
    let (service, sandbox) = imagery();
    service.fault_always("token", Fault::Hang);
    for child in eight_waiting(&sandbox, &["token", "earthdaily"]) {
        let _ = broker_e2e::finish(child).ends(4).fails_with("timeout");
    }
    assert_eq!(service.count("token"), 1);
    service.clear_faults();
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
}

#[test]
fn waiting_processes_with_min_ttl_share_one_new_token() {
    let (service, sandbox) = imagery();
    let _ = sandbox.broker(&["token", "earthdaily"]).token();
    service.forget_seen();
    for child in eight_waiting(&sandbox, &["token", "earthdaily", "--min-ttl", "9h"]) {
        let _ = broker_e2e::finish(child).says("--min-ttl").token();
    }
    assert_eq!(service.count("token"), 1);
}

#[test]
fn error_messages_redact_every_encoding_of_a_secret() {
    let (service, sandbox) = imagery();
    let secret = r#"s3cr/t+va"l\ue&x"#;
    let sandbox = sandbox.with_env("EDS_SECRET", secret);
    let _ = sandbox.broker(&["token", "earthdaily"]).ends(6);
    // The service's error response repeats the secret in all encodings in which the broker had sent the secret.
    let header = service.seen()[0].header("authorization").expect("a header").to_owned();
    let encoded = "s3cr%2Ft%2Bva%22l%5Cue%26x";
    let repeated = format!("{header} client_secret={encoded} {secret} {}", json!({ "s": secret }));
    let body = json!({ "error": "invalid_client", "error_description": repeated }).to_string();
    service.fault_always("token", Fault::Answer { status: 401, headers: Vec::new(), body });
    let run = sandbox.broker(&["token", "earthdaily", "--force"]).ends(6).says("withheld");
    let record = sandbox.record("earthdaily").to_string();
    let in_header = &header["Basic ".len() + 32..];
    for spelling in ["s3cr", in_header] {
        assert!(!run.err.contains(spelling) && !record.contains(spelling), "{spelling}: {}", run.err);
    }
}

#[test]
fn headers_that_repeat_a_secret_are_not_shown() {
    let secret = "kanarieplainsecretvalue12";
    let hex = "6b616e61726965706c61696e73656372657476616c75653132";
    let encoding = |name: &str| Fault::Answer {
        status: 200,
        headers: vec![("content-encoding".to_owned(), name.to_owned())],
        body: "abc".to_owned(),
    };
    for fault in [
        Fault::Redirect(format!("https://{secret}.example/")),
        Fault::Redirect(format!("//{hex}.example/")),
        Fault::Redirect(format!("http://{hex}.example/")),
        encoding(secret),
        encoding(&format!("gzip, {hex}")),
    ] {
        let (service, sandbox) = imagery();
        let sandbox = sandbox.with_env("EDS_SECRET", secret);
        service.fault_always("token", fault);
        let run = sandbox.broker(&["token", "earthdaily"]).ends(4);
        let shown = run.err + &sandbox.record("earthdaily").to_string();
        assert!(!shown.contains(secret) && !shown.contains(hex), "{shown}");
    }
}

#[test]
fn waiting_processes_with_force_share_one_new_token() {
    let (service, sandbox) = imagery();
    let old = sandbox.broker(&["token", "earthdaily"]).token();
    service.forget_seen();
    for child in eight_waiting(&sandbox, &["token", "earthdaily", "--force"]) {
        assert_ne!(broker_e2e::finish(child).token(), old);
    }
    assert_eq!(service.count("token"), 1);
}

#[test]
fn huge_numbers_in_a_record_do_not_crash_the_broker() {
    let (_service, sandbox) = seismic();
    let original = sandbox.record("earthscope");
    for key in ["ahead_of", "margin", "clock_skew"] {
        for number in [i64::MIN, i64::MIN / 1000, i64::MAX / 1000, i64::MAX] {
            let mut record = original.clone();
            record["tokens"][""][key] = number.into();
            sandbox.write(&sandbox.record_path("earthscope"), &record.to_string());
            for command in ["token earthscope", "status", "doctor --offline", "status --json"] {
                let run = sandbox.broker(&command.split(' ').collect::<Vec<_>>());
                assert!(
                    (0..=6).contains(&run.code) && !run.err.contains("panicked"),
                    "{key} = {number}: {command}: {run:?}"
                );
            }
            let _ = sandbox.broker(&["token", "earthscope"]).token();
        }
    }
}
