//! Tests the sources of secrets, and that outputs do not show secrets.

use broker_e2e::{MARK, Sandbox, finish, spawn};

use crate::plugin::programs::printing;

/// Returns a sandbox with provider `key`, whose configured token is read from this source.
fn key(source: &str) -> Sandbox {
    Sandbox::new().with_config(&format!("[providers.key]\nkind = \"static\"\ntoken = {source}\n"))
}

#[test]
fn background_process_of_secret_command_is_not_awaited() {
    // The secret command starts a background process, which runs as long as this test.
    let (reader, writer) = std::io::pipe().unwrap();
    let sandbox = key("{ command = [\"sh\", \"-c\", \"echo out; cat <&3 2>/dev/null & exit 0\"] }");
    let script = "exec 3<&0; exec \"$@\" </dev/null";
    let words = ["token", "key"];
    let mut command = sandbox.command_under(&["sh", "-c", script, "sh"], &words);
    command.stdin(reader);
    assert_eq!(finish(spawn(command, &words)).ends(0).out, "out\n");
    drop(writer);
}

#[test]
fn error_names_the_unset_variable_of_a_secret() {
    let run = key("{ env = \"LAB_KEY\" }").broker(&["token", "key"]).ends(5);
    let _ = run.fails_with("secret_unreadable").says("LAB_KEY");
}

#[test]
fn config_show_redacts_values_of_request_and_plugin_settings() {
    let secret = format!("{MARK}-literal");
    let config = format!(
        r#"
        [providers.lab]
        kind = "login"
        secrets = {{ one = "{secret}", two = {{ env = "TWO" }} }}
        [providers.lab.login]
        url = "https://lab.example.org/login?key={secret}"
        json = {{ user = "{{username}}", password = "{secret}", more = [{{ pin = "{secret}" }}], number = 1234 }}
        headers = {{ X-Key = "{secret}" }}
        query = {{ key = "{{secrets.one}}{secret}" }}
        [providers.machine]
        kind = "oauth2"
        flow = "client_credentials"
        token_url = "https://lab.example.org/token"
        client_id = "me"
        client_secret = {{ env = "S" }}
        params = {{ tenant = "{secret}" }}
        [providers.program]
        kind = "exec"
        command = ["lab-token", "--password={secret}"]
        settings = {{ url = "https://lab.example.org", key = "{secret}" }}
        "#
    );
    let sandbox = Sandbox::new().with_config(&config);
    let shown = sandbox.broker(&["config", "show"]).ends(0).out;
    assert!(!shown.contains(MARK) && !shown.contains("1234"), "{shown}");
    for part in [
        "url = \"https://lab.example.org/login?…\"",
        "user = \"{username}\"",
        "X-Key = \"[redacted]\"",
        "two = { env = \"TWO\" }",
        "command = [\"lab-token\", \"…\"]",
        "tenant = \"[redacted]\"",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn config_error_does_not_show_a_secret_in_the_params_table() {
    let config = "[providers.m]\nkind = \"oauth2\"\nflow = \"client_credentials\"\nclient_id = \"me\"\n\
        token_url = \"https://lab.example.org/token\"\nclient_secret = { env = \"S\" }\nparams = { client_secret = \"KANARIE-x\" }\n";
    let run = Sandbox::new().with_config(config).broker(&["config", "check"]).ends(5);
    assert!(!run.err.contains("KANARIE-x"), "{}", run.err);
}

#[test]
fn from_key_with_unknown_or_circular_provider_is_an_error() {
    let table = |name: &str, from: &str| {
        format!(
            "[providers.{name}]\nkind = \"oauth2\"\nfrom = \"{from}\"\ntoken_url = \"https://lab.example.org/token\"\n"
        )
    };
    let missing = Sandbox::new().with_config(&table("derived", "earthscop"));
    let run = missing.broker(&["config", "check"]).ends(5);
    let _ = run.says("providers.toml:3:").says("`earthscop`").says("`earthscope`");
    let circle = Sandbox::new().with_config(&(table("one", "two") + &table("two", "one")));
    let run = circle.broker(&["token", "one"]).ends(5);
    let _ = run.says("one -> two -> one");
}

#[test]
fn token_with_control_characters_is_not_stored() {
    let sandbox = printing(r#"{"access_token": "ab\u001bcd", "expires_in": 3600}"#, "speaks = \"json\"");
    let _ = sandbox.broker(&["token", "other"]).ends(4).fails_with("bad_response");
    sandbox.write(&sandbox.home().join("printed"), r#"{"access_token": "abcd", "expires_in": 3600}"#);
    assert_eq!(sandbox.broker(&["token", "other"]).token(), "abcd");
}

#[test]
fn token_expiry_is_at_most_100_years_ahead() {
    let sandbox = printing(r#"{"access_token": "abcd", "expires_in": 300000000000}"#, "speaks = \"json\"");
    let token = sandbox.broker(&["token", "other", "--format", "json"]).json();
    let seconds = token["expires_in"].as_i64().expect("an expiry");
    assert!(seconds <= 100 * 365 * 86_400, "the response said 9,500 years: {token}");
}
