//! Programs that print tokens: `speaks`.

use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish, signal};

/// What a program prints becomes a token by these keys.
fn printing(output: &str, keys: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("printed");
    sandbox.write(&file, output);
    let config =
        format!("[providers.other]\nkind = \"exec\"\ncommand = [\"cat\", \"{}\"]\n{keys}\n", file.display());
    sandbox.write_config(&config);
    sandbox
}

fn token(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.broker(&[&["token", "other"], more].concat())
}

/// How long it lives, for what the program printed.
#[track_caller]
fn lives(output: &str, keys: &str) -> i64 {
    let json = token(&printing(output, keys), &["--format", "json"]).json();
    assert_eq!(json["token"], "KANARIE-t", "{output}");
    json["expires_in"].as_i64().expect("an end")
}

#[test]
fn the_first_line_of_a_text_is_the_token() {
    let text = "speaks = \"text\"";
    assert!((290..=300).contains(&lives("KANARIE-t\nuser: ada\n", text)), "five minutes if nobody says");
    assert!((3500..=3600).contains(&lives("KANARIE-t\n", "speaks = \"text\"\nlife = \"1h\"")));
    assert!(
        (290..=300).contains(&lives("\u{feff}KANARIE-t\n", text)),
        "some begin with a mark of the order of bytes"
    );
    for none in ["\n", "please log in first\n", "<html>\n"] {
        let _ = token(&printing(none, text), &[]).ends(1).says("program `printed` printed no token");
    }
}

#[test]
fn an_object_is_read_as_az_and_gcloud_write_it() {
    let json = "speaks = \"json\"";
    // In seconds since 1970; the other is the wall's clock, wherever that hangs.
    let az = r#"{"accessToken":"KANARIE-t","expiresOn":"2001-01-01 00:00:00.000000","expires_on":4102444800,"tokenType":"Bearer"}"#;
    assert!(lives(az, json) > 1_000_000_000);
    let old_az = r#"{"accessToken":"KANARIE-t","expiresOn":"2001-01-01 00:00:00.000000"}"#;
    assert!((290..=300).contains(&lives(old_az, json)), "a time without a zone says nothing");
    let gcloud = r#"{"credential":{"access_token":"KANARIE-t","token_expiry":"2100-01-01T00:00:00Z"}}"#;
    assert!(lives(gcloud, json) > 1_000_000_000);
    assert!((7100..=7200).contains(&lives(r#"{"access_token":"KANARIE-t","expires_in":"7200"}"#, json)));
    let own = "speaks = \"json\"\ntoken = \"a.0\"\nexpires = \"end\"\nexpires_as = \"MM/DD/YYYY\"";
    assert!(lives(r#"{"a":["KANARIE-t"],"end":"01/01/2100"}"#, own) > 1_000_000_000);
    let vault = r#"{"auth":{"client_token":"KANARIE-t","lease_duration":0},"expires_at":0}"#;
    assert!((290..=300).contains(&lives(vault, json)), "nothing is no end");
    let named = "speaks = \"json\"\nexpires = \"auth.lease_duration\"\nexpires_as = \"seconds\"";
    assert!((290..=300).contains(&lives(vault, named)));
    let _ = token(&printing("<html>", json), &[]).ends(1).fails_with("program_failed");
    let _ = token(&printing("{}", json), &[]).ends(1).fails_with("program_failed");
}

#[test]
fn keys_of_a_credential_process_are_keys_again() {
    let keys = r#"{"Version":1,"AccessKeyId":"AK","SecretAccessKey":"KANARIE-s","SessionToken":"KANARIE-t","Expiration":"2100-01-01T00:00:00Z"}"#;
    let sandbox = printing(keys, "speaks = \"aws\"");
    let printed = token(&sandbox, &["--format", "aws"]).json();
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(keys).expect("JSON"));
    let run = token(&sandbox, &["--format", "env", "--role", ""]).ends(0);
    assert!(
        run.out.contains("export AWS_SESSION_TOKEN='KANARIE-t'")
            || run.out.contains("AWS_SESSION_TOKEN=KANARIE-t"),
        "{}",
        run.out
    );
    let _ = token(&sandbox, &["--format", "aws", "--role", "field"]).ends(2).says("no roles to choose");
    let _ = token(&sandbox, &[]).ends(2).fails_with("request_unsupported");
    let aws = ["--format", "aws"];
    let _ =
        token(&printing(r#"{"Version":2}"#, "speaks = \"aws\""), &aws).ends(1).fails_with("program_failed");
    let of_the_wall = printing(&keys.replace("00Z", "00"), "speaks = \"aws\"");
    assert_eq!(
        token(&of_the_wall, &aws).json()["Expiration"],
        "2100-01-01T00:00:00Z",
        "without a zone it is UTC"
    );
}

#[test]
fn an_exec_credential_is_read() {
    let answer = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"KANARIE-t","expirationTimestamp":"2100-01-01T00:00:00Z"}}"#;
    assert!(lives(answer, "speaks = \"kubectl\"") > 1_000_000_000);
    let without = r#"{"kind":"ExecCredential","status":{"clientCertificateData":"…"}}"#;
    let _ = token(&printing(without, "speaks = \"kubectl\""), &[]).ends(1).says("without a token");
}

/// A credential provider that answers this, if it is asked as cargo asks.
fn cargo(answer: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let script = sandbox.home().join("provider");
    let lines = [
        "[ \"$1\" = --cargo-plugin ] || exit 9",
        "echo '{\"v\":[1]}'",
        "IFS= read -r asked",
        "case $asked in *'\"index-url\":\"sparse+https://crates.example/\"'*) ;; *) exit 8 ;; esac",
    ];
    sandbox.write(&script, &format!("{}\necho '{answer}'\n", lines.join("\n")));
    let config = format!(
        "[providers.other]\nkind = \"exec\"\nspeaks = \"cargo\"\ncommand = [\"sh\", \"{}\"]\nregistry = \"sparse+https://crates.example/\"\n",
        script.display()
    );
    sandbox.write_config(&config);
    sandbox
}

#[test]
fn a_credential_provider_of_cargo_is_asked_as_cargo_asks() {
    let got = r#"{"Ok":{"kind":"get","token":"KANARIE-t","cache":"expires","expiration":4102444800,"operation_independent":true}}"#;
    assert_eq!(token(&cargo(got), &[]).token(), "KANARIE-t");
    let none = r#"{"Err":{"kind":"not-found"}}"#;
    let _ = token(&cargo(none), &[]).ends(3).fails_with("login_required");
}

#[test]
fn a_program_that_fails_says_how() {
    let sandbox = printing("", "speaks = \"text\"");
    std::fs::remove_file(sandbox.home().join("printed")).expect("removed");
    let _ = token(&sandbox, &[]).ends(1).says("program `printed` failed: exit status: 1");
}

#[test]
fn keys_that_mean_nothing_are_errors() {
    for (keys, words) in [
        ("speaks = \"text\"\ntoken = \"a\"", "`token`: is only used with `speaks = \"json\"`"),
        ("speaks = \"cargo\"", "`registry` is missing"),
        ("speaks = \"perl\"", "`speaks` must be"),
        ("speaks = \"text\"\nlife = \"soon\"", "`life` must be a duration"),
    ] {
        let _ = token(&printing("KANARIE-t", keys), &[]).ends(5).says(words);
    }
}

/// A provider whose program is this script.
fn script(text: &str, keys: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let script = sandbox.home().join("script");
    sandbox.write(&script, text);
    let config =
        format!("[providers.other]\nkind = \"exec\"\ncommand = [\"sh\", \"{}\"]\n{keys}\n", script.display());
    sandbox.write_config(&config);
    sandbox
}

#[test]
fn what_a_program_leaves_running_is_not_waited_for() {
    let began = Instant::now();
    let sandbox = script("sleep 30 2>/dev/null & echo KANARIE-t\n", "speaks = \"text\"");
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-t");
    assert!(began.elapsed() < Duration::from_secs(20), "it holds the pipe for half a minute");
}

#[test]
fn a_signal_waits_for_a_program_that_may_renew_its_own_login() {
    let waits = ": >\"$0.asked\"; until [ -e \"$0.go\" ]; do sleep 0.02; done; echo KANARIE-t\n";
    let sandbox = script(waits, "speaks = \"text\"");
    let child = sandbox.start(&["token", "other"]);
    super::until("it is asked", Duration::from_secs(20), || sandbox.home().join("script.asked").exists());
    signal(&child, "TERM");
    std::fs::write(sandbox.home().join("script.go"), "").expect("a file");
    let _ = finish(child).ends(143);
    sandbox.write(&sandbox.home().join("script"), "exit 1\n");
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-t", "it was saved");
}

#[test]
fn what_was_read_otherwise_is_not_used() {
    let both = r#"{"id_token":"KANARIE-id","access_token":"KANARIE-access"}"#;
    let sandbox = printing(both, "speaks = \"json\"");
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-access");
    let config = std::fs::read_to_string(sandbox.config_path()).expect("a configuration");
    sandbox.write_config(&format!("{config}token = \"id_token\"\n"));
    assert_eq!(token(&sandbox, &[]).token(), "KANARIE-id");
}

#[test]
fn a_path_may_have_a_blank() {
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
    let _ = token(&sandbox, &[]).ends(5).says("list of words");
}
