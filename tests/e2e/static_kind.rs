//! A key or token that somebody gave: `kind = "static"`.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use broker_e2e::Sandbox;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

const TOKEN: &str = "glpat-KANARIE";

/// A provider of these keys, and the variable that it reads.
fn with(keys: &str) -> Sandbox {
    let config = format!("[providers.lab]\nkind = \"static\"\ntoken = {{ env = \"LAB_TOKEN\" }}\n{keys}\n");
    Sandbox::new().with_config(&config).with_env("LAB_TOKEN", TOKEN)
}

fn format(sandbox: &Sandbox, format: &str) -> String {
    sandbox.broker(&["token", "lab", "--format", format]).ends(0).out
}

/// A JWT with these claims.
fn jwt(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.KANARIE", part(&json!({ "alg": "none" })), part(claims))
}

#[test]
fn a_token_is_handed_out_as_the_service_takes_it() {
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
fn what_cannot_say_the_header_says_so() {
    for keys in ["header = \"X-Auth-Token\"", "prefix = \"api-key\""] {
        let sandbox = with(&format!("{keys}\nhosts = [\"lab.example.org\"]"));
        for format in ["netrc", "duckdb", "exec-credential"] {
            // A prefix of its own is as much of a guess there as `Bearer`.
            if format == "netrc" && keys.starts_with("prefix") {
                continue;
            }
            let run = sandbox.broker(&["token", "lab", "--format", format]).ends(1).says("--format header");
            assert_eq!(run.out, "", "{format}");
        }
    }
    let sandbox = with("hosts = [\"lab.example.org\"]");
    assert!(format(&sandbox, "netrc").contains(TOKEN));
}

#[test]
fn a_username_makes_it_basic() {
    let sandbox = with("username = \"ada\"\nhosts = [\"lab.example.org\"]");
    let basic = STANDARD.encode(format!("ada:{TOKEN}"));
    assert_eq!(format(&sandbox, "header"), format!("Authorization: Basic {basic}\n"));
    let _ = sandbox.broker(&["token", "lab", "--format", "netrc"]).ends(1).says("--format header");
    let _ = with("username = \"a:b\"").broker(&["token", "lab"]).ends(5).says("colon");
}

#[test]
fn programs_get_it_in_their_variable() {
    let sandbox = with("env = \"GITLAB_TOKEN\"\nheader = \"PRIVATE-TOKEN\"");
    let file = sandbox.home().join("seen");
    let script = format!("printf %s \"$GITLAB_TOKEN\" > {}; chmod 600 {0}", file.display());
    let _ = sandbox.broker(&["exec", "lab", "--", "sh", "-c", &script]).ends(0);
    assert_eq!(std::fs::read_to_string(file).expect("a file"), TOKEN);
}

#[test]
fn it_stays_where_it_is() {
    let sandbox = with("");
    let _ = sandbox.broker(&["token", "lab"]).token();
    let record = std::fs::read_to_string(sandbox.record_path("lab")).expect("a record");
    assert!(!record.contains(TOKEN), "{record}");
    // So another one is handed out at once, and none where there is none.
    let sandbox = sandbox.with_env("LAB_TOKEN", "another-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "another-KANARIE");
    let sandbox = sandbox.with_env("LAB_TOKEN", "");
    let run = sandbox.broker(&["token", "lab"]).ends(5).says("LAB_TOKEN");
    assert_eq!(run.out, "");
}

#[test]
fn with_a_life_it_is_kept_so_long_and_no_other_token_s_place() {
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
    assert_eq!(runs(), 1, "the command may ask a person something");
    sandbox.write(&secret, "another-KANARIE");
    sandbox.age("lab", TimeDelta::hours(9));
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "another-KANARIE");
    assert_eq!(runs(), 2);
    // What can be looked at without a command is.
    sandbox
        .write_config("[providers.lab]\nkind = \"static\"\ntoken = { env = \"LAB_TOKEN\" }\nlife = \"8h\"\n");
    let sandbox = sandbox.with_env("LAB_TOKEN", TOKEN);
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), TOKEN);
    let sandbox = sandbox.with_env("LAB_TOKEN", "third-KANARIE");
    assert_eq!(sandbox.broker(&["token", "lab"]).token(), "third-KANARIE");
}

#[test]
fn an_end_is_read_told_of_and_kept() {
    let now = Utc::now();
    let in_days = |days: i64| (now + TimeDelta::days(days)).format("%F").to_string();
    // By the configuration, as text and as TOML has dates.
    for quote in ["\"", ""] {
        let sandbox = with(&format!("expires = {quote}{}{quote}", in_days(60)));
        let run = sandbox.broker(&["token", "lab", "--format", "json"]);
        assert_eq!(run.err, "");
        assert_eq!(run.json()["expires_at"], json!(format!("{}T00:00:00Z", in_days(60))));
        assert!(sandbox.broker(&["status", "lab"]).ends(0).out.contains("valid"));
    }
    let soon = with(&format!("expires = \"{}\"", in_days(3)));
    let _ = soon
        .broker(&["token", "lab"])
        .says("lab: the token expires")
        .says("LAB_TOKEN")
        .says("get a new one")
        .token();
    let over = with(&format!("expires = \"{}\"", in_days(-3)));
    let run = over.broker(&["token", "lab"]).ends(3).says("has expired").says("LAB_TOKEN").says("`expires`");
    assert_eq!(run.out, "");
    // By the token itself.
    let end = now + TimeDelta::hours(2);
    let sandbox = with("").with_env("LAB_TOKEN", &jwt(&json!({ "exp": end.timestamp() })));
    let run = sandbox.broker(&["token", "lab", "--format", "json"]);
    assert_eq!(run.err, "", "who has such a token knows that it ends soon");
    assert_eq!(run.json()["expires_at"], json!(end.format("%FT%TZ").to_string()));
    let _ = sandbox.broker(&["token", "lab"]).token();
    let told = sandbox.broker(&["inspect", "lab"]).ends(0).out;
    assert!(told.contains("not stored") && !told.contains("opaque"), "{told}");
    let claims = json!({ "iat": (now - TimeDelta::days(89)).timestamp(), "exp": end.timestamp() });
    let sandbox = with("").with_env("LAB_TOKEN", &jwt(&claims));
    let _ = sandbox.broker(&["token", "lab"]).says("get a new one").token();
    let over = json!({ "exp": (now - TimeDelta::hours(2)).timestamp() });
    let sandbox = with("").with_env("LAB_TOKEN", &jwt(&over));
    let _ = sandbox.broker(&["token", "lab"]).ends(3).says("LAB_TOKEN");
}

#[test]
fn logout_forgets_and_says_what_stays() {
    let sandbox = with("");
    let run = sandbox.broker(&["login", "lab"]).ends(0).says("lab: found the key");
    assert!(!run.err.contains("logged in"), "{}", run.err);
    let _ = sandbox.broker(&["logout", "lab"]).ends(0).says("stays valid").says("LAB_TOKEN");
    assert!(!sandbox.record_path("lab").exists());
    let _ = sandbox.broker(&["logout", "lab"]).ends(0).says("not logged in");
    for words in [&["--scope", "x"][..], &["--expires", "7d"]] {
        let _ = sandbox.broker(&[&["token", "lab"], words].concat()).ends(2);
    }
}

#[test]
fn what_is_read_is_one_line() {
    for keys in ["", "username = \"ada\""] {
        for (text, told) in [
            ("glpat-KANARIE\nlogin: ada\n", "several lines"),
            ("glpat-KANARIE\r\nurl: x", "several lines"),
            ("glpat\u{1b}-KANARIE", "control characters"),
            (" \n", "empty"),
        ] {
            let sandbox = with(keys).with_env("LAB_TOKEN", text);
            let run = sandbox.broker(&["token", "lab"]).ends(5).says(told).says("LAB_TOKEN");
            assert_eq!(run.out, "");
        }
        let plain = with(keys).broker(&["token", "lab"]).token();
        let around = with(keys).with_env("LAB_TOKEN", &format!("\u{feff} {TOKEN}\t\r\n"));
        assert_eq!(around.broker(&["token", "lab"]).token(), plain);
    }
    let _ = with("life = \"10000000000d\"").broker(&["token", "lab"]).ends(5).says("life");
}

#[test]
fn many_at_once_read_one_file() {
    let sandbox = Sandbox::new();
    let secret = sandbox.home().join("secret");
    sandbox.write(&secret, TOKEN);
    sandbox.write_config("[providers.lab]\nkind = \"static\"\ntoken = { file = \"~/secret\" }\n");
    let started: Vec<_> = (0..8).map(|_| sandbox.start(&["token", "lab"])).collect();
    for run in started {
        assert_eq!(broker_e2e::finish(run).token(), TOKEN);
    }
}
