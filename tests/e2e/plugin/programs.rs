//! Programs that print tokens: `speaks`.

use broker_e2e::{Run, Sandbox};

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
    let _ = token(&printing("\n", text), &[]).ends(1).says("program `printed` printed no token");
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
    let _ = token(&printing("<html>", json), &[]).ends(1).says("printed no JSON");
    let _ = token(&printing("{}", json), &[]).ends(1).says("without a token at a usual place");
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
    let _ = token(&printing(r#"{"Version":2}"#, "speaks = \"aws\""), &[]).ends(1).says("printed no keys");
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
    let _ = token(&cargo(none), &[]).ends(3).says("log in with `provider` itself");
}

#[test]
fn a_program_that_fails_says_how() {
    let sandbox = printing("", "speaks = \"text\"");
    std::fs::remove_file(sandbox.home().join("printed")).expect("removed");
    let _ = token(&sandbox, &[]).ends(1).says("program `printed` failed: exit status: 1").says("by hand");
}

#[test]
fn keys_that_mean_nothing_are_errors() {
    for (keys, words) in [
        ("speaks = \"text\"\ntoken = \"a\"", "`token`: it has a meaning with `speaks = \"json\"` only"),
        ("speaks = \"cargo\"", "`registry`: it is needed"),
        ("speaks = \"perl\"", "`speaks` must be"),
        ("speaks = \"text\"\nlife = \"soon\"", "`life` must be a duration"),
    ] {
        let _ = token(&printing("KANARIE-t", keys), &[]).ends(5).says(words);
    }
}
