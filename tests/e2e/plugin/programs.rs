//! Tests plugins that are ordinary programs. The key `speaks` names the format of their output.

use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish, signal};

use crate::stage::until;

/// Returns a sandbox whose provider `other` runs `program` on a file, which has this `name` and `content`.
fn running(program: &str, name: &str, content: &str, keys: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join(name);
    sandbox.write(&file, content);
    let command = format!("[\"{program}\", \"{}\"]", file.display());
    sandbox.with_config(&format!("[providers.other]\nkind = \"exec\"\ncommand = {command}\n{keys}\n"))
}

/// Returns a sandbox whose provider `other` runs a program with this output.
pub(crate) fn printing(output: &str, keys: &str) -> Sandbox {
    running("cat", "printed", output, keys)
}

fn token(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.broker(&[&["token", "other"], more].concat())
}

/// Returns the remaining seconds of the token that the broker reads from a plugin's `output`.
#[track_caller]
fn lifetime(output: &str, keys: &str) -> i64 {
    let json = token(&printing(output, keys), &["--format", "json"]).json();
    assert_eq!(json["token"], "KANARIE-t", "{output}");
    json["expires_in"].as_i64().expect("an expiry")
}

#[test]
fn first_line_of_plugin_text_output_is_the_token() {
    let text = "speaks = \"text\"";
    assert!((290..=300).contains(&lifetime("KANARIE-t\nuser: ada\n", text)), "five minutes by default");
    assert!((3500..=3600).contains(&lifetime("KANARIE-t\n", "speaks = \"text\"\nlife = \"1h\"")));
    assert!((290..=300).contains(&lifetime("\u{feff}KANARIE-t\n", text)), "a byte order mark");
    for output in ["\n", "please log in first\n", "<html>\n", "{\"error\":1}\n"] {
        let _ = token(&printing(output, text), &[]).ends(1).fails_with("program_failed").says("`printed`");
    }
}

#[test]
fn output_that_is_not_utf8_is_named_as_such() {
    for keys in ["speaks = \"text\"", "speaks = \"json\"", "speaks = \"aws\""] {
        for (bytes, words) in [(&b"{\0\"\0a\0"[..], "UTF-16"), (b"\xff\xfea\0", "UTF-16"), (b"\xe9", "UTF-8")]
        {
            let sandbox = printing("", keys);
            std::fs::write(sandbox.home().join("printed"), bytes).expect("a file");
            let more: &[&str] = if keys.contains("aws") { &["--format", "aws"] } else { &[] };
            let run = token(&sandbox, more);
            let _ = run.ends(1).fails_with("program_failed").says(words);
        }
    }
}

#[test]
fn token_is_read_from_json_of_az_gcloud_and_vault() {
    let json = "speaks = \"json\"";
    // `expiresOn` has no time zone, so the broker must use `expires_on`.
    let az = r#"{"accessToken":"KANARIE-t","expiresOn":"2001-01-01 00:00:00.000000","expires_on":4102444800,"tokenType":"Bearer"}"#;
    assert!(lifetime(az, json) > 1_000_000_000);
    let old_az = r#"{"accessToken":"KANARIE-t","expiresOn":"2100-01-01 00:00:00.000000"}"#;
    let utc = lifetime(old_az, json);
    let sandbox = printing(old_az, json).with_env("TZ", "<+05>-5");
    let local = token(&sandbox, &["--format", "json"]).json()["expires_in"].as_i64().expect("an expiry");
    assert!((-18060..=-17940).contains(&(local - utc)), "`expiresOn` is in local time: {local} {utc}");
    let gcloud = r#"{"credential":{"access_token":"KANARIE-t","token_expiry":"2100-01-01T00:00:00Z"}}"#;
    assert!(lifetime(gcloud, json) > 1_000_000_000);
    assert!((7100..=7200).contains(&lifetime(r#"{"access_token":"KANARIE-t","expires_in":"7200"}"#, json)));
    let own = "speaks = \"json\"\ntoken = \"a.0\"\nexpires = \"end\"\nexpires_as = \"MM/DD/YYYY\"";
    assert!(lifetime(r#"{"a":["KANARIE-t"],"end":"01/01/2100"}"#, own) > 1_000_000_000);
    let vault = r#"{"auth":{"client_token":"KANARIE-t","lease_duration":0},"expires_at":0}"#;
    assert!((290..=300).contains(&lifetime(vault, json)), "zero means unknown");
    let named = "speaks = \"json\"\nexpires = \"auth.lease_duration\"\nexpires_as = \"seconds\"";
    assert!((290..=300).contains(&lifetime(vault, named)));
    let _ = token(&printing("<html>", json), &[]).ends(1).fails_with("program_failed");
    let _ = token(&printing("{}", json), &[]).ends(1).fails_with("program_failed").says("`token`");
}

#[test]
fn token_and_expiry_are_read_from_json_of_other_programs() {
    let json = "speaks = \"json\"";
    for (output, long) in [
        // Google's executables, https://google.aip.dev/auth/4117
        (
            r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:id_token","id_token":"KANARIE-t","expiration_time":4102444800}"#,
            true,
        ),
        (
            r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"KANARIE-t"}"#,
            false,
        ),
        // gcloud auth application-default print-access-token --format=json
        (r#"{"token":"KANARIE-t","expiry":{"datetime":"2100-01-01 00:00:00.000000","year":2100}}"#, true),
        // gcloud config config-helper with an access token of its own
        (r#"{"configuration":{},"credential":{"access_token":"KANARIE-t"}}"#, false),
        (r#"{"credential":{"access_token":"KANARIE-t","token_expiry":null}}"#, false),
        // aws eks get-token
        (
            r#"{"kind":"ExecCredential","status":{"token":"KANARIE-t","expirationTimestamp":"2100-01-01T00:00:00Z"}}"#,
            true,
        ),
        // aws codeartifact get-authorization-token
        (r#"{"authorizationToken":"KANARIE-t","expiration":"2100-01-01T00:00:00.123000+00:00"}"#, true),
        // ibmcloud iam oauth-tokens --output json
        (r#"{"iam_token":"Bearer KANARIE-t"}"#, false),
        // databricks auth token
        (
            r#"{"access_token":"KANARIE-t","token_type":"Bearer","expiry":"2100-01-01T00:00:00.123456+02:00"}"#,
            true,
        ),
        (r#"{"access_token":"KANARIE-t","expiry":"0001-01-01T00:00:00Z"}"#, false),
        (r#"[{"accessToken":"KANARIE-t","expiresOn":"N/A"}]"#, false),
    ] {
        let left = lifetime(output, json);
        assert!(if long { left > 1_000_000_000 } else { (290..=300).contains(&left) }, "{output}: {left}");
    }
    let named = "speaks = \"json\"\ntoken = \"t\"\nexpires = \"end\"\nexpires_as = \"rfc3339\"";
    assert!((290..=300).contains(&lifetime(r#"{"t":"KANARIE-t"}"#, named)), "no expiry is stated");
    assert!((290..=300).contains(&lifetime("bearer  KANARIE-t\n", "speaks = \"text\"")));
}

#[test]
fn error_printed_by_a_program_as_json_is_shown() {
    for (output, reason) in [
        (
            r#"{"version":1,"success":false,"code":"401","message":"Caller not authorized."}"#,
            "Caller not authorized.",
        ),
        (r#"{"success":false}"#, "no reason"),
        (r#"{"error":"invalid_grant","error_description":"Token revoked."}"#, "Token revoked."),
        (r#"{"error":{"code":403,"message":"No seat."}}"#, "No seat."),
        (r#"[{"errors":[{"message":"No seat."}]}]"#, "No seat."),
        (r#"{"Error":{"Message":"No seat."}}"#, "No seat."),
        (
            r#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:saml2","saml_response":"KANARIE"}"#,
            "SAML",
        ),
    ] {
        let json = "speaks = \"json\"";
        let _ = token(&printing(output, json), &[]).ends(1).fails_with("program_failed").says(reason);
        let script = format!("cat <<'E'\n{output}\nE\nexit 1\n");
        let failed =
            token(&running("sh", "printed", &script, json), &[]).ends(1).fails_with("program_failed");
        let _ = if reason == "SAML" { failed.says("exit status: 1") } else { failed.says(reason) };
    }
}

#[test]
fn expired_token_of_a_program_is_named_as_such() {
    for (keys, output) in [
        ("speaks = \"json\"", r#"{"access_token":"KANARIE-t","expires_on":1700000000}"#),
        ("speaks = \"json\"", r#"{"access_token":"KANARIE-t","expires_in":-1e7}"#),
        ("speaks = \"json\"", r#"{"access_token":"KANARIE-t","expiry":"1999-01-01T00:00:00+23:59"}"#),
        (
            "speaks = \"kubectl\"",
            r#"{"kind":"ExecCredential","status":{"token":"KANARIE-t","expirationTimestamp":"1999-01-01T00:00:00Z"}}"#,
        ),
        ("speaks = \"text\"", "e30.eyJleHAiOjF9.KANARIE"),
        ("speaks = \"text\"", "e30.eyJleHAiOi04MzM0NjAxMjI4ODAwfQ.KANARIE"),
    ] {
        let run = token(&printing(output, keys), &[]).ends(4).fails_with("token_expired").says("`printed`");
        assert!(!run.err.contains("clock") && !run.err.contains("service"), "{}", run.err);
    }
}

#[test]
fn broker_reads_output_of_an_aws_credential_process() {
    let keys = r#"{"Version":1,"AccessKeyId":"AK","SecretAccessKey":"KANARIE-s","SessionToken":"KANARIE-t","Expiration":"2100-01-01T00:00:00Z"}"#;
    let sandbox = printing(keys, "speaks = \"aws\"");
    let printed = token(&sandbox, &["--format", "aws"]).json();
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(keys).expect("JSON"));
    let run = token(&sandbox, &["--format", "env", "--role", ""]).ends(0);
    let _ = run.prints("export AWS_SESSION_TOKEN='KANARIE-t'");
    let run = token(&sandbox, &["--format", "aws", "--role", "field"]).ends(2);
    let _ = run.fails_with("request_unsupported").says("--role");
    let _ = token(&sandbox, &[]).ends(2).fails_with("request_unsupported").says("--format aws");
    let printed = |output: &str| token(&printing(output, "speaks = \"aws\""), &["--format", "aws"]);
    let _ = printed(r#"{"Version":2}"#).ends(1).fails_with("program_failed");
    let expiry_without_zone = &printed(&keys.replace("00Z", "00")).json()["Expiration"];
    assert_eq!(expiry_without_zone, "2100-01-01T00:00:00Z", "a time without a zone is UTC");
}

#[test]
fn broker_reads_token_from_a_kubernetes_exec_credential() {
    let output = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"KANARIE-t","expirationTimestamp":"2100-01-01T00:00:00Z"}}"#;
    assert!(lifetime(output, "speaks = \"kubectl\"") > 1_000_000_000);
    let without = r#"{"kind":"ExecCredential","status":{"clientCertificateData":"…"}}"#;
    let _ = token(&printing(without, "speaks = \"kubectl\""), &[]).ends(1).fails_with("program_failed");
}

/// Returns a sandbox with a cargo credential provider that checks its request and prints this response.
fn cargo(response: &str) -> Sandbox {
    let lines = [
        "[ \"$1\" = --cargo-plugin ] || exit 9",
        "echo '{\"v\":[1]}'",
        "IFS= read -r request",
        "case $request in *'\"index-url\":\"sparse+https://crates.example/\"'*) ;; *) exit 8 ;; esac",
    ];
    let script = format!("{}\necho '{response}'\n", lines.join("\n"));
    running("sh", "provider", &script, "speaks = \"cargo\"\nregistry = \"sparse+https://crates.example/\"")
}

#[test]
fn broker_gets_a_token_from_a_cargo_credential_provider() {
    let got = r#"{"Ok":{"kind":"get","token":"KANARIE-t","cache":"expires","expiration":4102444800,"operation_independent":true}}"#;
    assert_eq!(token(&cargo(got), &[]).token(), "KANARIE-t");
    let none = r#"{"Err":{"kind":"not-found"}}"#;
    let _ = token(&cargo(none), &[]).ends(3).fails_with("login_required").says("`provider`");
}

#[test]
fn error_for_a_failed_plugin_program_shows_its_exit_status() {
    let sandbox = printing("", "speaks = \"text\"");
    std::fs::remove_file(sandbox.home().join("printed")).expect("removed");
    let run = token(&sandbox, &[]).ends(1).fails_with("program_failed");
    let _ = run.says("`printed`").says("exit status: 1");
}

#[test]
fn invalid_output_settings_of_a_plugin_are_config_errors() {
    for (keys, code, key) in [
        ("speaks = \"text\"\ntoken = \"a\"", "config_invalid", "`token`"),
        ("speaks = \"cargo\"", "config_missing_key", "`registry`"),
        ("speaks = \"perl\"", "config_invalid_value", "`speaks`"),
        ("speaks = \"text\"\nlife = \"soon\"", "config_invalid_value", "`life`"),
    ] {
        let _ = token(&printing("KANARIE-t", keys), &[]).ends(5).fails_with(code).says(key);
    }
}

#[test]
fn broker_does_not_wait_for_a_plugins_background_process() {
    let began = Instant::now();
    let sandbox = running("sh", "script", "sleep 30 2>/dev/null & echo KANARIE-t\n", "speaks = \"text\"");
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-t");
    assert!(began.elapsed() < Duration::from_secs(20), "the background process keeps the pipe open");
}

#[test]
fn sigterm_to_broker_during_plugin_run_still_saves_the_token() {
    let waits = ": >\"$0.asked\"; until [ -e \"$0.go\" ]; do sleep 0.02; done; echo KANARIE-t\n";
    let sandbox = running("sh", "script", waits, "speaks = \"text\"");
    let child = sandbox.start(&["token", "other"]);
    until(|| sandbox.home().join("script.asked").exists(), "the script has started");
    signal(&child, "TERM");
    std::fs::write(sandbox.home().join("script.go"), "").expect("a file");
    let _ = finish(child).ends(143);
    sandbox.write(&sandbox.home().join("script"), "exit 1\n");
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-t", "the token is saved");
}

#[test]
fn stored_token_is_replaced_if_config_selects_other_json_key() {
    let both = r#"{"id_token":"KANARIE-id","access_token":"KANARIE-access"}"#;
    let sandbox = printing(both, "speaks = \"json\"");
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-access");
    sandbox.write_config(&format!("{}token = \"id_token\"\n", sandbox.config()));
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-id");
}

#[test]
fn path_of_a_plugin_program_may_contain_spaces() {
    let sandbox = Sandbox::new();
    let folder = sandbox.home().join("My Tools");
    std::fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::symlink("/bin/uname", folder.join("a tool")).expect("a link");
    let config = |command: &str| {
        format!("[providers.other]\nkind = \"exec\"\nspeaks = \"text\"\ncommand = {command}\n")
    };
    sandbox.write_config(&config(&format!("[\"{}/a tool\"]", folder.display())));
    let _ = token(&sandbox, &[]).ends(0);
    sandbox.write_config(&config("\"pass show eds\""));
    let _ = token(&sandbox, &[]).ends(5).fails_with("config_invalid_value").says("`command`");
}
