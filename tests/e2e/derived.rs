//! Tests credentials that a service issues for an access token: AWS keys and EarthDaily's asset cookie.

use broker_e2e::Sandbox;
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::stage::{earthdaily, expired_with};

const AWS: [&str; 6] = ["token", "earthscope", "--format", "aws", "--role", "s3-miniseed-v2"];
const COOKIES: [&str; 4] = ["token", "earthdaily", "--format", "cookies"];

/// Returns an EarthScope server, and a sandbox with a login whose access token has expired.
fn seismic() -> (EarthScope, Sandbox) {
    let (service, sandbox) = expired_with(Rotation::RotateDetectReuse, 0, "");
    sandbox.write_config(&format!("{}api_url = \"{}\"\n", sandbox.config(), service.url()));
    (service, sandbox)
}

fn key(sandbox: &Sandbox, words: &[&str]) -> String {
    let keys = sandbox.broker(words).json();
    assert_eq!(keys["Version"], 1);
    let end: DateTime<Utc> = keys["Expiration"].as_str().expect("a time").parse().expect("RFC 3339");
    assert!(end > Utc::now(), "{keys}");
    for name in ["SecretAccessKey", "SessionToken"] {
        assert!(keys[name].as_str().is_some_and(|key| key.contains("KANARIE")), "{keys}");
    }
    keys["AccessKeyId"].as_str().expect("a key").to_owned()
}

#[test]
fn stored_aws_keys_are_replaced_a_minute_before_expiry() {
    let (service, sandbox) = seismic();
    let first = key(&sandbox, &AWS);
    assert_eq!(
        (service.count("token"), service.count("aws")),
        (1, 1),
        "not one request each for access token and AWS keys"
    );
    assert_eq!(key(&sandbox, &AWS), first);
    assert_eq!(key(&sandbox, &["helper", "aws", "earthscope", "--role", "s3-miniseed-v2"]), first);
    // A request with other parameters gets other AWS keys, which are stored separately.
    let year = [&AWS[..], &["--param", "network=FDSN:UO", "--param", "year=2024"]].concat();
    let of_year = key(&sandbox, &year);
    assert_ne!(of_year, first);
    let request = service.seen().pop().expect("a request");
    assert_eq!(request.path, "/beta/user/credentials/aws/s3-miniseed-v2");
    assert_eq!(request.query, "network=FDSN%3AUO&year=2024");
    let reordered = [&AWS[..], &["--param", "year=2024", "--param", "network=FDSN:UO"]].concat();
    assert_eq!((key(&sandbox, &reordered), service.count("aws")), (of_year, 2));
    // AWS keys are valid for an hour. In the last minute, the broker gets new keys.
    sandbox.age("earthscope", TimeDelta::seconds(3600 - 50));
    assert_ne!(key(&sandbox, &AWS), first);
    let status = sandbox.broker(&["status", "earthscope", "--json"]).json();
    let scopes = json!(["aws:s3-miniseed-v2", "aws:s3-miniseed-v2?network=FDSN%3AUO&year=2024"]);
    assert_eq!(status["providers"][0]["scopes"], scopes);
}

#[test]
fn error_names_the_role_if_service_issues_no_aws_keys() {
    let (service, sandbox) = seismic();
    service.fault("aws", Fault::Status(503));
    let _ = key(&sandbox, &AWS);
    let forced = [&AWS[..], &["--force"]].concat();
    let body = "{\"detail\":\"not your role\"}".to_owned();
    service.fault("aws", Fault::Answer { status: 403, headers: vec![], body });
    let _ = sandbox.broker(&forced).says("not your role").says("s3-miniseed-v2");
    for (words, code) in [
        (["earthscope", "--role", "../x"], "usage_invalid"),
        (["earthscope", "--format", "aws"], "usage_invalid"),
        (["carbonmapper", "--role", "r"], "request_unsupported"),
        (["earthscope", "--format", "cookies"], "request_unsupported"),
    ] {
        let _ = sandbox.broker(&[&["token"], &words[..]].concat()).ends(2).fails_with(code);
    }
}

#[test]
fn access_token_refused_by_aws_endpoint_is_replaced_once() {
    let (service, sandbox) = seismic();
    let _ = sandbox.broker(&["token", "earthscope"]).token();
    let before = service.refreshes();
    let body = "{\"message\":\"expired\"}".to_owned();
    let refused = Fault::Answer { status: 401, headers: vec![], body };
    service.fault("aws", refused.clone());
    let _ = key(&sandbox, &AWS);
    assert_eq!((service.refreshes() - before, service.count("aws")), (1, 2));
    service.fault_always("aws", refused);
    let _ = sandbox.broker(&[&AWS[..], &["--force"]].concat()).says("expired");
    assert!(service.count("aws") <= 4 && service.reuse_events() == 0, "the retries end");
}

#[test]
fn earthscope_token_is_not_sent_to_api_url_from_environment() {
    let evil = EarthScope::start(EarthScopeOptions::default());
    let (service, sandbox) = expired_with(Rotation::Rotate, 0, "");
    let sandbox = sandbox.with_env("ES_RESOURCES__API_URL", evil.url());
    let host = evil.url().trim_start_matches("http://");
    let _ = sandbox.broker(&AWS).ends(5).fails_with("host_not_allowed").says(host);
    assert!(evil.seen().is_empty() && service.count("token") <= 1);
    assert!(service.access_is_live(&sandbox.broker(&["token", "earthscope"]).token()));
}

#[test]
fn asset_cookie_is_stored_and_printed_for_gdal() {
    let (service, sandbox) = earthdaily("");
    sandbox.write_config(&format!("{}api_url = \"{}\"\n", sandbox.config(), service.url()));
    let file = sandbox.home().join("cookies.txt");
    let run = sandbox.broker(&[&COOKIES[..], &["--output", &file.display().to_string()]].concat()).ends(0);
    assert_eq!(run.out, "");
    let text = std::fs::read_to_string(&file).expect("a file");
    let fields: Vec<_> = text.lines().last().expect("a line").split('\t').collect();
    assert!(text.starts_with("# Netscape HTTP Cookie File\n") && fields.len() == 7, "{text}");
    assert_eq!((fields[2], fields[5]), ("/platform/v1/asset", "PLATFORM_ASSET"));
    assert_eq!(sandbox.broker(&COOKIES).ends(0).out, text, "the cookie was not stored");
    assert_eq!((service.count("token"), service.count("cookie")), (1, 1));
}
