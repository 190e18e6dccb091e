//! Tests the formats of derived credentials: AWS keys and cookies, which a service issues for an access token.

use std::process::Command;

use broker_e2e::Sandbox;
use broker_testkit::EarthScopeOptions;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Stage, need, printed, python};
use crate::stage::logged_in;

/// The remaining lifetime of the stored AWS keys or cookies.
const LEFT: TimeDelta = TimeDelta::minutes(59);

/// Adds AWS keys or cookies to the record, as if the service had issued them.
fn store(sandbox: &Sandbox, provider: &str, key: &str, secret: &Value) {
    let mut record = sandbox.record(provider);
    let token_type = key.split(':').next().expect("a type");
    record["tokens"][key] = json!({
        "secret": secret.to_string(), "token_type": token_type, "issued_at": Utc::now(), "expires_at": Utc::now() + LEFT,
    });
    std::fs::write(sandbox.record_path(provider), record.to_string()).expect("a record");
}

#[test]
#[ignore = "needs python3 and curl"]
fn python_and_curl_read_the_cookie_file() {
    let stage = Stage::with("KANARIE");
    let _ = stage.token(&[]).token();
    let cookie = |domain: &str| {
        json!({
            "name": "PLATFORM_ASSET", "value": "KANARIE=\"a\"%é", "domain": domain,
            "path": "/platform/v1", "secure": true, "http_only": true,
        })
    };
    store(&stage.sandbox, "earthdaily", "cookie:", &cookie(".earthdaily.com"));
    let file = stage.file("cookies");
    let script = "import http.cookiejar, sys, time, urllib.request
jar = http.cookiejar.MozillaCookieJar(sys.argv[1])
jar.load()
for url in sys.argv[2:]:
    request = urllib.request.Request(url)
    jar.add_cookie_header(request)
    print(request.get_header('Cookie'))";
    let urls = [
        "https://api.earthdaily.com/platform/v1/asset/x",
        "http://api.earthdaily.com/platform/v1/asset/x",
        "https://api.earthdaily.com/other",
        "https://api.earthdaily.com.evil.org/platform/v1/asset/x",
    ];
    let seen = python(script, &[&[file.to_str().expect("a path")], &urls[..]].concat());
    assert_eq!(seen, "PLATFORM_ASSET=KANARIE=\"a\"%é\nNone\nNone\nNone\n");

    // Without TLS, curl sends a cookie with `Secure` only to loopback.
    store(&stage.sandbox, "earthdaily", "cookie:", &cookie("127.0.0.1"));
    let file = stage.file("cookies").display().to_string();
    let _ = printed(Command::new("curl").args(["-sS", "-b", &file, &stage.url()]), "");
    let sent = stage.service.seen().pop().and_then(|seen| seen.header("cookie").map(str::to_owned));
    assert_eq!(sent.as_deref(), Some("PLATFORM_ASSET=KANARIE=\"a\"%é"));
}

/// The stored AWS keys, in the form that the test's programs print.
const KEYS: &str = r#"ASIAKANARIE|it's/+"KANARIE"|KANARIE=="#;

#[test]
#[ignore = "needs python3 with botocore"]
fn aws_tools_and_shells_read_the_printed_aws_keys() {
    let (_service, sandbox) = logged_in(EarthScopeOptions::default(), "");
    let keys = json!({
        "AccessKeyId": "ASIAKANARIE", "SecretAccessKey": "it's/+\"KANARIE\"", "SessionToken": "KANARIE==",
    });
    store(&sandbox, "earthscope", "aws:s3-miniseed-v2?year=2024", &keys);
    let format = |format: &[&str]| {
        let words = ["token", "earthscope", "--role", "s3-miniseed-v2", "--param", "year=2024"];
        sandbox.broker(&[&words, format].concat()).ends(0).out
    };
    let process: Value = serde_json::from_str(&format(&[])).expect("a role implies its format");
    assert_eq!(process["Version"], 1);
    assert_eq!(process["SecretAccessKey"], keys["SecretAccessKey"]);
    let json: Value = serde_json::from_str(&format(&["--format", "json"])).expect("JSON");
    assert_eq!((&json["scope"], &json["expires_at"]), (&Value::Null, &process["Expiration"]));
    let script = "eval \"$(cat)\"\nprintf '%s|%s|%s' \"$AWS_ACCESS_KEY_ID\" \"$AWS_SECRET_ACCESS_KEY\" \"$AWS_SESSION_TOKEN\"";
    let seen = printed(Command::new("sh").args(["-c", script]), &format(&["--format", "env"]));
    assert_eq!(seen, KEYS);
    need(&["python3", "-c", "import botocore"]);
    let file = sandbox.home().join("keys");
    sandbox.write(&file, &format(&["--format", "aws"]));
    let config = sandbox.home().join("aws");
    sandbox.write(&config, &format!("[default]\ncredential_process = cat {}\n", file.display()));
    let script = "import botocore.session, os, sys
os.environ['AWS_CONFIG_FILE'] = sys.argv[1]
print(*botocore.session.Session().get_credentials().get_frozen_credentials()[:3], sep='|', end='')";
    assert_eq!(python(script, &[config.to_str().expect("a path")]), KEYS);
}
