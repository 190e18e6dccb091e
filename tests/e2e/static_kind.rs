//! Tests `kind = "static"`: a fixed token or API key.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use broker_e2e::Sandbox;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

const TOKEN: &str = "glpat-KANARIE";

/// Returns a sandbox with the static provider `lab`. `keys` are lines of the provider's configuration. The
/// variable `LAB_TOKEN` contains the token.
fn with(keys: &str) -> Sandbox {
    let config = format!("[providers.lab]\nkind = \"static\"\ntoken = {{ env = \"LAB_TOKEN\" }}\n{keys}\n");
    Sandbox::new().with_config(&config).with_env("LAB_TOKEN", TOKEN)
}

fn format(sandbox: &Sandbox, format: &str) -> String {
    sandbox.broker(&["token", "lab", "--format", format]).ends(0).out
}

fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.KANARIE", part(&json!({ "alg": "none" })), part(claims))
}

#[test]
fn output_formats_print_static_token_in_configured_header() {
    for (keys, line) in [
        ("", "Authorization: Bearer glpat-KANARIE"),
        ("header = \"X-Auth-Token\"", "X-Auth-Token: glpat-KANARIE"),
        ("header = \"PRIVATE-TOKEN\"", "PRIVATE-TOKEN: glpat-KANARIE"),
        ("prefix = \"api-key\"", "Authorization: api-key glpat-KANARIE"),
        ("prefix = \"\"", "Authorization: glpat-KANARIE"),
    ] {
        let sandbox = with(keys);
        assert_eq!(sandbox.broker(&["token", "lab"]).token(), TOKEN, "{keys}");
        assert_eq!(format(&sandbox, "header"), format!("{line}\n"), "{keys}");
        assert_eq!(format(&sandbox, "curl"), format!("header = \"{line}\"\n"), "{keys}");
        let object = sandbox.broker(&["token", "lab", "--format", "json"]).json();
        assert_eq!((&object["token"], &object["expires_at"]), (&json!(TOKEN), &Value::Null), "{keys}");
    }
}

#[test]
fn word_bearer_before_a_pasted_token_is_removed() {
    for pasted in ["Bearer glpat-KANARIE", "bearer  glpat-KANARIE\n", " glpat-KANARIE "] {
        let sandbox = with("").with_env("LAB_TOKEN", pasted);
        assert_eq!(format(&sandbox, "header"), "Authorization: Bearer glpat-KANARIE\n", "{pasted:?}");
    }
    let _ = with("").with_env("LAB_TOKEN", "bearer ").broker(&["token", "lab"]).ends(5);
}

#[test]
fn netrc_duckdb_and_exec_formats_refuse_custom_headers() {
    for keys in ["header = \"X-Auth-Token\"", "prefix = \"api-key\""] {
        let sandbox = with(&format!("{keys}\nhosts = [\"lab.example.org\"]"));
        for format in ["netrc", "duckdb", "exec-credential"] {
            // A netrc file contains no header, so the format `netrc` accepts the key `prefix`.
            if format == "netrc" && keys.starts_with("prefix") {
                continue;
            }
            let run =
                sandbox.broker(&["token", "lab", "--format", format]).ends(1).fails_with("format_unsuitable");
            assert_eq!(run.out, "", "{format}");
        }
    }
    let sandbox = with("hosts = [\"lab.example.org\"]");
    assert!(format(&sandbox, "netrc").contains(TOKEN));
}

#[test]
fn username_of_a_static_token_selects_http_basic() {
    let sandbox = with("username = \"ada\"\nhosts = [\"lab.example.org\"]");
    let basic = STANDARD.encode(format!("ada:{TOKEN}"));
    assert_eq!(format(&sandbox, "header"), format!("Authorization: Basic {basic}\n"));
    let _ = sandbox.broker(&["token", "lab", "--format", "netrc"]).ends(1).fails_with("format_unsuitable");
    let _ = with("username = \"a:b\"").broker(&["token", "lab"]).ends(5).says("username");
}

#[test]
fn exec_passes_static_token_in_the_configured_variable() {
    let sandbox = with("env = \"GITLAB_TOKEN\"\nheader = \"PRIVATE-TOKEN\"");
    let file = sandbox.home().join("seen");
    let script = format!("printf %s \"$GITLAB_TOKEN\" > {}; chmod 600 {0}", file.display());
    let _ = sandbox.broker(&["exec", "lab", "--", "sh", "-c", &script]).ends(0);
    assert_eq!(std::fs::read_to_string(file).expect("a file"), TOKEN);
}

#[test]
fn static_token_is_not_stored_in_a_record() {
    let sandbox = with("");
    let _ = sandbox.broker(&["token", "lab"]).token();
    let record = std::fs::read_to_string(sandbox.record_path("lab")).expect("a record");
    assert!(!record.contains(TOKEN), "{record}");
    // Because the token is not stored, a changed variable takes effect at once, and an empty one is an error.
    let sandbox = sandbox.with_env("LAB_TOKEN", "another-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "another-KANARIE");
    let sandbox = sandbox.with_env("LAB_TOKEN", "");
    let run = sandbox.broker(&["token", "lab"]).ends(5).says("LAB_TOKEN");
    assert_eq!(run.out, "");
}

#[test]
fn life_key_limits_how_long_a_static_token_is_cached() {
    let sandbox = Sandbox::new();
    let (secret, count) = (sandbox.home().join("secret"), sandbox.home().join("count"));
    sandbox.write(&secret, TOKEN);
    let script = format!("echo x >> {}; cat {}", count.display(), secret.display());
    sandbox.write_config(&format!(
        "[providers.lab]\nkind = \"static\"\ntoken = {{ command = [\"sh\", \"-c\", '{script}'] }}\nlife = \"8h\"\n"
    ));
    let runs = || std::fs::read_to_string(&count).expect("a count").lines().count();
    for _ in 0..3 {
        assert_eq!(sandbox.broker(&["token", "lab"]).token(), TOKEN);
    }
    assert_eq!(runs(), 1, "the command may ask the user");
    sandbox.write(&secret, "another-KANARIE");
    sandbox.age("lab", TimeDelta::hours(9));
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "another-KANARIE");
    assert_eq!(runs(), 2);
    // A token from an environment variable is not cached, so a changed variable takes effect at once.
    sandbox
        .write_config("[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB_TOKEN\" }\nlife = \"8h\"\n");
    let sandbox = sandbox.with_env("LAB_TOKEN", TOKEN);
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), TOKEN);
    let sandbox = sandbox.with_env("LAB_TOKEN", "third-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "third-KANARIE");
}

#[test]
fn static_token_warns_before_expiry_and_fails_after_it() {
    let now = Utc::now();
    let in_days = |days: i64| (now + TimeDelta::days(days)).format("%F").to_string();
    // The key `expires` can be a string or a TOML date.
    for quote in ["\"", ""] {
        let sandbox = with(&format!("expires = {quote}{}{quote}", in_days(60)));
        let run = sandbox.broker(&["token", "lab", "--format", "json"]);
        assert_eq!(run.err, "");
        assert_eq!(run.json()["expires_at"], json!(format!("{}T00:00:00Z", in_days(60))));
        assert!(sandbox.broker(&["status", "lab"]).ends(0).out.contains("valid"));
    }
    let soon = with(&format!("expires = \"{}\"", in_days(3)));
    let _ = soon.broker(&["token", "lab"]).says(&in_days(3)).says("LAB_TOKEN").token();
    let expired = with(&format!("expires = \"{}\"", in_days(-3)));
    let run = expired.broker(&["token", "lab"]).ends(3).fails_with("login_required");
    let run = run.says(&in_days(-3)).says("LAB_TOKEN").says("`expires`");
    assert_eq!(run.out, "");
    // If the token is a JWT, the broker reads the expiry from the JWT.
    let end = now + TimeDelta::hours(2);
    let sandbox = with("").with_env("LAB_TOKEN", &jwt(&json!({ "exp": end.timestamp() })));
    let run = sandbox.broker(&["token", "lab", "--format", "json"]);
    assert_eq!(run.err, "", "no warning for a token with a short lifetime");
    assert_eq!(run.json()["expires_at"], json!(end.format("%FT%TZ").to_string()));
    let _ = sandbox.broker(&["token", "lab"]).token();
    let shown = sandbox.broker(&["inspect", "lab"]).ends(0).out;
    assert!(shown.contains("not stored") && !shown.contains("opaque"), "{shown}");
    let claims = json!({ "iat": (now - TimeDelta::days(89)).timestamp(), "exp": end.timestamp() });
    let sandbox = with("").with_env("LAB_TOKEN", &jwt(&claims));
    let _ = sandbox.broker(&["token", "lab"]).says("LAB_TOKEN").token();
    let expired = json!({ "exp": (now - TimeDelta::hours(2)).timestamp() });
    let sandbox = with("").with_env("LAB_TOKEN", &jwt(&expired));
    let _ = sandbox.broker(&["token", "lab"]).ends(3).fails_with("login_required").says("LAB_TOKEN");
}

#[test]
fn logout_names_the_source_of_a_static_token() {
    let sandbox = with("");
    let run = sandbox.broker(&["login", "lab"]).ends(0).says("lab: the configured key was read");
    assert!(!run.err.contains("logged in"), "{}", run.err);
    let _ = sandbox.broker(&["logout", "lab"]).ends(0).says("LAB_TOKEN");
    assert!(!sandbox.record_path("lab").exists());
    let _ = sandbox.broker(&["logout", "lab"]).ends(0).says("not logged in");
    for words in [&["--scope", "x"][..], &["--expires", "7d"]] {
        let _ = sandbox.broker(&[&["token", "lab"], words].concat()).ends(2);
    }
}

#[test]
fn static_token_with_two_lines_is_refused() {
    for keys in ["", "username = \"ada\""] {
        for text in ["glpat-KANARIE\nlogin: ada\n", "glpat-KANARIE\r\nurl: x", "glpat\u{1b}-KANARIE", " \n"] {
            let sandbox = with(keys).with_env("LAB_TOKEN", text);
            let run = sandbox.broker(&["token", "lab"]).ends(5).says("LAB_TOKEN");
            let run = run.fails_with("secret_unreadable");
            assert_eq!(run.out, "");
        }
        let plain = with(keys).broker(&["token", "lab"]).token();
        let around = with(keys).with_env("LAB_TOKEN", &format!("\u{feff} {TOKEN}\t\r\n"));
        assert_eq!(around.broker(&["token", "lab"]).token(), plain);
    }
    let _ = with("life = \"10000000000d\"").broker(&["token", "lab"]).ends(5).says("life");
}

#[test]
fn concurrent_calls_can_read_the_same_token_file() {
    let sandbox = Sandbox::new();
    let secret = sandbox.home().join("secret");
    sandbox.write(&secret, TOKEN);
    sandbox.write_config("[providers.lab]\nkind = \"static\"\ntoken = { file = \"~/secret\" }\n");
    let started: Vec<_> = (0..8).map(|_| sandbox.start(&["token", "lab"])).collect();
    for run in started {
        assert_eq!(broker_e2e::finish(run).token(), TOKEN);
    }
}
