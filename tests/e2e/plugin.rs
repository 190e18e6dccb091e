//! Tests that faulty plugins fail within a time limit, leave no process, and lose no stored login.

#[path = "plugin/programs.rs"]
pub(crate) mod programs;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish, signal};
use chrono::TimeDelta;

use crate::stage::{until, until_within};

/// A sandbox with the faulty test plugin `odd.sh`. A mode selects the fault.
struct Odd {
    sandbox: Sandbox,
    script: PathBuf,
}

impl Odd {
    fn new() -> Self {
        let sandbox = Sandbox::new().with_env("PLUGIN_KEY", "KANARIE-key");
        let script = sandbox.home().join("odd.sh");
        sandbox.write(&script, include_str!("plugin/odd.sh"));
        let odd = Self { sandbox, script };
        odd.configure("");
        odd
    }

    fn configure(&self, more: &str) {
        self.sandbox.write_config(&format!(
            "[providers.odd]\nkind = \"exec\"\ncommand = [\"sh\", \"{}\"]\ntimeout = \"1s\"\n{more}\n\
             [providers.odd.secrets]\nkey = {{ env = \"PLUGIN_KEY\" }}\n",
            self.script.display()
        ));
    }

    /// Returns the path of a file next to the plugin's script.
    fn file(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}.{suffix}", self.script.display()))
    }

    fn set_mode(&self, mode: &str) -> &Self {
        self.sandbox.write(&self.file("mode"), mode);
        self
    }

    fn token(&self) -> Run {
        self.sandbox.broker(&["token", "odd"])
    }

    fn processes(&self) -> Vec<String> {
        let pids = std::fs::read_to_string(self.file("pids")).unwrap_or_default();
        pids.lines().map(str::to_owned).collect()
    }

    /// Asserts that no process of the plugin is left. Zombies are allowed.
    #[track_caller]
    fn assert_no_process(&self) {
        let runs = |pid: &String| {
            let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        let has_ended = || !self.processes().iter().any(runs);
        until_within(Duration::from_secs(5), has_ended, "all processes of the plugin have ended");
    }
}

#[test]
fn deeply_nested_plugin_data_is_refused_before_it_is_stored() {
    let sandbox = Sandbox::new();
    let script = sandbox.home().join("deep.sh");
    let configure = |depth: usize, issuer: &str| {
        let kept = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        sandbox.write(
            &script,
            &format!(
                "echo '{{\"v\":[1]}}'; read -r _\n\
                 echo '{{\"ok\":{{\"issuer\":\"https://{issuer}\",\"actions\":[\"exchange\",\"login\"]}}}}'; read -r _\n\
                 echo '{{\"ok\":{{\"tokens\":[{{\"secret\":\"KANARIE-{depth}\"}}],\"grant\":\"KANARIE-g{depth}\",\"kept\":{kept}}}}}'\n"
            ),
        );
        sandbox.write_config(&format!(
            "[providers.odd]\nkind = \"exec\"\ncommand = [\"sh\", \"{}\"]\nsettings = {{ url = \"{issuer}\" }}\n",
            script.display()
        ));
    };
    for depth in [62, 63, 100, 123, 126, 200] {
        configure(2, "a.example");
        let _ = sandbox.broker(&["login", "odd"]).ends(0);
        configure(depth, "a.example");
        if depth < 63 {
            let _ = sandbox.broker(&["login", "odd"]).ends(0);
        } else {
            let _ = sandbox.broker(&["login", "odd"]).ends(1).fails_with("program_failed").says("64");
        }
        // Another issuer makes the first login one of `parked`, two levels deeper in the record.
        configure(2, "b.example");
        let _ = sandbox.broker(&["login", "odd"]).ends(0);
        configure(depth, "a.example");
        let kept = if depth < 63 { depth } else { 2 };
        assert_eq!(sandbox.broker(&["token", "odd"]).token(), format!("KANARIE-{kept}"), "{depth}");
    }
}

/// Each faulty mode of the test plugin, with the expected exit code, error code, and message text.
const BAD: [(&str, i32, &str, &str); 21] = [
    ("no-hello", 1, "program_failed", "`odd.sh`"),
    ("versions", 5, "protocol_mismatch", "7, 8"),
    ("crash-first", 1, "program_failed", "(exit status: 3): no such module: planets"),
    ("hang-first", 4, "timeout", "1s"),
    ("unasked", 1, "program_failed", "`odd.sh`"),
    ("hang", 4, "timeout", "1s"),
    ("crash", 4, "bad_response", "(exit status: 7): the planets do not align"),
    ("killed", 4, "bad_response", "(signal: 9 (SIGKILL))"),
    ("garbage", 4, "bad_response", "`odd.sh`"),
    ("half", 4, "bad_response", "`odd.sh`"),
    ("nothing", 1, "program_failed", "`odd.sh`"),
    ("empty", 1, "program_failed", "`odd.sh`"),
    ("control-scope", 1, "program_failed", "`odd.sh`"),
    ("number", 4, "rate_limited", "odd: 503"),
    ("asks", 4, "bad_response", "`odd.sh`"),
    ("long-line", 4, "bad_response", "1 MiB"),
    ("many-lines", 4, "bad_response", "`odd.sh`"),
    ("closes", 4, "bad_response", "`odd.sh`"),
    ("forks", 4, "bad_response", "`odd.sh`"),
    (r#"{"kind":"refused","message":"no KANARIE-key\u001b[31m"}"#, 6, "request_refused", "withheld"),
    (r#"{"kind":"unavailable","message":"busy","retry_after":90}"#, 4, "rate_limited", "busy"),
];

#[test]
fn faulty_plugin_fails_in_bounded_time() {
    for (mode, exit, code, data) in BAD {
        let odd = Odd::new();
        let began = Instant::now();
        let _ = odd.set_mode(mode).token().ends(exit).fails_with(code).says(data);
        assert!(began.elapsed() < Duration::from_secs(20), "{mode}: bounded");
        odd.assert_no_process();
    }
}

#[test]
fn valid_stored_token_is_used_if_the_plugin_fails() {
    for (mode, _, _, data) in BAD {
        let odd = Odd::new();
        let stored = odd.set_mode("good").token().token();
        let before = odd.sandbox.record("odd");
        // In the last hour before expiry, the token is due for renewal but still valid.
        odd.sandbox.age("odd", TimeDelta::minutes(50));
        let run = odd.set_mode(mode).token().says(data.trim_start_matches("odd: "));
        assert_eq!(run.token(), stored, "{mode}");
        let after = odd.sandbox.record("odd");
        assert_eq!(after["grant"]["secret"], before["grant"]["secret"], "{mode}: the grant is kept");
        assert!(after["grant"]["refused_at"].is_null(), "{mode}: and not refused");
        odd.assert_no_process();
    }
}

#[test]
fn valid_stored_token_is_used_without_starting_the_plugin() {
    let odd = Odd::new();
    let first = odd.set_mode("good").token().token();
    assert_eq!(odd.processes().len(), 1);
    assert_eq!(odd.set_mode("crash").token().token(), first);
    let _ = odd.sandbox.broker(&["status", "odd"]).ends(0);
    assert_eq!(odd.processes().len(), 1, "neither of the two started it");
}

#[test]
fn harmless_protocol_deviations_of_a_plugin_are_accepted() {
    for mode in ["twice", "stays", "stderr"] {
        let odd = Odd::new();
        let token = odd.set_mode(mode).token().token();
        assert!(token.starts_with("KANARIE-token-"), "{mode}");
        odd.assert_no_process();
    }
}

#[test]
fn plugin_response_is_saved_before_the_plugin_exits() {
    let odd = Odd::new();
    let mut child = odd.set_mode("stays").sandbox.start(&["token", "odd"]);
    until(|| odd.file("answered").exists(), "the plugin has responded");
    // The plugin would run for ten minutes after its response.
    let is_saved =
        || odd.sandbox.record_path("odd").exists() && odd.sandbox.record("odd")["grant"].is_object();
    until_within(Duration::from_millis(900), is_saved, "the response is saved");
    child.kill().expect("killed");
    let _ = child.wait();
    let stored = odd.set_mode("crash").token().token();
    assert!(stored.starts_with("KANARIE-token-"), "the token is on disk");
    odd.assert_no_process();
}

#[test]
fn plugin_token_without_expiry_has_configured_lifetime() {
    let odd = Odd::new();
    odd.configure("life = \"10m\"");
    let json = odd.set_mode("jwt").sandbox.broker(&["token", "odd", "--format", "json"]).json();
    let left = json["expires_in"].as_i64().expect("an expiry");
    assert!((500..=600).contains(&left), "{left}");
}

#[test]
fn plugin_response_without_token_or_login_is_an_error() {
    let odd = Odd::new();
    let _ = odd.set_mode("refuses").token().ends(3).fails_with("login_required");
    assert_eq!(odd.processes().len(), 1, "no grant was sent");
    let _ = odd.set_mode("empty").token().ends(1);
    assert_eq!(odd.processes().len(), 2);
    let _ = odd.set_mode("other-scope").token().ends(1).fails_with("program_failed");
    assert_eq!(odd.processes().len(), 4, "a new token is progress");
}

#[test]
fn options_that_a_plugin_does_not_support_are_refused() {
    let odd = Odd::new();
    odd.set_mode("good");
    let run = odd.sandbox.broker(&["token", "odd", "--name", "n"]).ends(2);
    let _ = run.fails_with("request_unsupported").says("--name");
    let _ = odd.sandbox.broker(&["token", "odd", "--scope", "aws:x"]).ends(2).fails_with("scope_unsupported");
    odd.set_mode("logs-in");
    for flag in ["--refresh-token-stdin", "--password-stdin"] {
        let run = odd.sandbox.broker_reading(&["login", "odd", flag], "KANARIE-secret").ends(2);
        let _ = run.fails_with("login_unsupported").says(flag);
    }
}

#[test]
fn plugin_that_responds_before_the_brokers_request_fails() {
    let odd = Odd::new();
    let run = odd.set_mode("logs-in-early").sandbox.broker(&["login", "odd"]).ends(1);
    let _ = run.fails_with("program_failed").says("odd.sh");
}

#[test]
fn plugin_gets_no_variables_with_secrets() {
    let _ = Odd::new().set_mode("env").token().token();
}

#[test]
fn record_does_not_contain_plugin_arguments() {
    let odd = Odd::new();
    odd.sandbox.write_config(&format!(
        "[providers.odd]\nkind = \"exec\"\ncommand = [\"sh\", \"{}\", \"--key=KANARIE-word\"]\n",
        odd.script.display()
    ));
    let _ = odd.set_mode("good").token().token();
    let record = odd.sandbox.record("odd")["issuer"].to_string();
    assert!(record.contains("odd.sh") && !record.contains("KANARIE-word"), "{record}");
}

#[test]
fn plugin_gets_the_send_time_of_an_unanswered_request() {
    let odd = Odd::new();
    let sent_at = || {
        let saved = std::fs::read_to_string(odd.file("saved-request")).expect("a request");
        let asked: serde_json::Value = serde_json::from_str(&saved).expect("JSON");
        asked["record"]["grant"]["sent_at"].clone()
    };
    let _ = odd.set_mode("good").token().token();
    let forced = ["token", "odd", "--force"];
    let _ = odd.set_mode("saves-request").sandbox.broker(&forced).ends(0);
    assert!(sent_at().is_null(), "not the time of this request");
    let _ = odd.set_mode("hang").sandbox.broker(&forced).ends(4);
    let _ = odd.set_mode("saves-request").sandbox.broker(&forced).ends(0);
    assert!(sent_at().is_string(), "the last request had no response");
}

#[test]
fn first_executable_plugin_in_path_is_used() {
    let home = Sandbox::new();
    let folders = ["one", "two"].map(|name| home.home().join(name));
    for folder in &folders {
        std::fs::create_dir(folder).expect("a folder");
    }
    home.write(&folders[0].join("tool"), "not a program");
    std::os::unix::fs::symlink("/bin/echo", folders[1].join("tool")).expect("a link");
    let path = format!("{}:{}:/usr/bin:/bin", folders[0].display(), folders[1].display());
    let sandbox = home.with_env("PATH", &path);
    sandbox.write_config(
        "[providers.odd]\nkind = \"exec\"\nspeaks = \"text\"\ncommand = [\"tool\", \"KANARIE-t\"]\n",
    );
    assert_eq!(sandbox.broker(&["token", "odd"]).token(), "KANARIE-t");
}

#[test]
fn secrets_on_plugin_stderr_are_redacted_with_a_warning() {
    let odd = Odd::new();
    odd.set_mode("leaks");
    let run = odd.sandbox.broker(&["token", "odd", "-v"]).ends(0);
    let run = run.says("withheld").says("warning: plugin `odd.sh` wrote a secret to stderr");
    assert_eq!(run.err.matches("wrote a secret").count(), 1, "{}", run.err);
}

#[test]
fn login_in_a_malformed_plugin_response_is_saved() {
    let odd = Odd::new();
    let _ = odd.set_mode("only-grant").token().ends(4);
    assert_eq!(odd.sandbox.record("odd")["grant"]["secret"], "KANARIE-grant-new");
    let _ = odd.set_mode("good").token().token();
    let login = odd.set_mode("logs-in-malformed").sandbox.broker(&["login", "odd"]).ends(0);
    let _ = login.says("warning: plugin `odd.sh` sent a malformed response");
    assert_eq!(odd.sandbox.record("odd")["grant"]["secret"], "KANARIE-grant-of-login");
}

#[test]
fn rotated_grant_in_a_faulty_plugin_response_is_kept() {
    for (fault, is_whole) in [
        ("cut", false),
        ("cut-killed", false),
        ("cut-stays", false),
        ("no-line-end", true),
        ("log-line", true),
        ("tell", true),
        ("pretty", true),
        ("mark", false),
        ("dict", false),
        ("nan", false),
        ("twice", false),
        ("and-err", false),
        ("long", false),
    ] {
        let odd = Odd::new();
        let _ = odd.set_mode("good").token().token();
        // With only the new grant, the same call gets a token with a second request.
        let forced = odd.set_mode(&format!("rotates-{fault}")).sandbox.broker(&["token", "odd", "--force"]);
        let token = forced.token();
        assert_eq!(token == "KANARIE-t", is_whole, "{fault}");
        assert_eq!(odd.processes().len(), if is_whole { 2 } else { 3 }, "{fault}: requests");
        let grant = odd.sandbox.record("odd")["grant"]["secret"].clone();
        assert_eq!(grant == "KANARIE-rotated", is_whole, "{fault}: {grant}");
        odd.assert_no_process();
    }
}

#[test]
fn login_page_of_a_plugin_that_is_no_web_page_is_refused() {
    let good = "https://login.example.org/activate";
    let code = |url: &str, complete: &str| {
        serde_json::json!({ "show_code": {
            "verification_uri": url, "verification_uri_complete": complete, "user_code": "ABCD", "expires_in": 60,
        } })
    };
    for page in [
        "javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "java\nscript:x", "http://a.example",
    ] {
        let show_page = serde_json::json!({ "show_page": { "url": page } });
        for message in [show_page, code(page, good), code(good, page)] {
            let odd = Odd::new();
            let script = format!(
                "echo '{{\"v\":[1]}}'\nread -r request\n\
                 echo '{{\"ok\":{{\"issuer\":\"https://login.example.org\",\"actions\":[\"login\",\"exchange\"]}}}}'\n\
                 read -r request\ncat <<'END'\n{message}\nEND\n"
            );
            odd.sandbox.write(&odd.script, &script);
            let run = odd.sandbox.broker(&["login", "odd"]);
            assert!(run.code > 0 && run.err.contains("login page"), "{message}: {}", run.err);
            assert!(!run.err.contains("ABCD") && !run.err.contains("To log in"), "{message}: {}", run.err);
        }
    }
}

#[test]
fn plugin_does_not_get_a_stored_login_of_another_issuer() {
    let odd = Odd::new();
    let stored = odd.set_mode("good").token().token();
    let forced = ["token", "odd", "--force"];
    let run = odd.set_mode("elsewhere").sandbox.broker(&forced).ends(5);
    let _ = run.fails_with("config_invalid").says("https://login.example.com").says("broker login odd");
    assert_eq!(odd.token().token(), stored, "the token is still stored");
    let _ = odd.sandbox.broker(&["login", "odd"]).ends(0);
    assert_ne!(odd.token().token(), stored, "a login solves it");
}

#[test]
fn each_plugin_settings_value_has_its_own_stored_token() {
    let odd = Odd::new();
    odd.configure("settings = { url = \"https://a.example\" }");
    let first = odd.set_mode("good").token().token();
    odd.configure("settings = { url = \"https://b.example\" }");
    assert_ne!(odd.token().token(), first);
    odd.configure("settings = { url = \"https://a.example\" }");
    assert_eq!(odd.token().token(), first, "the first token is still stored");
}

#[test]
fn signal_ends_broker_after_plugin_response_is_saved() {
    let odd = Odd::new();
    let child = odd.set_mode("waits").sandbox.start(&["token", "odd"]);
    until(|| odd.file("asked").exists(), "the plugin has read the request");
    signal(&child, "INT");
    std::fs::write(odd.file("go"), "").expect("a file");
    let _ = finish(child).ends(130);
    let token = odd.set_mode("crash").token().token();
    assert!(token.starts_with("KANARIE-token-"), "the token is saved");
}

#[test]
fn error_names_a_missing_plugin_program() {
    let odd = Odd::new();
    let not_executable = odd.script.display().to_string();
    for (command, code, parts) in [
        ("/nowhere/plugin", "program_not_found", ["/nowhere/plugin", ""]),
        ("no-such-plugin", "program_not_found", ["no-such-plugin", ""]),
        (&not_executable, "program_not_found", ["odd.sh", "chmod +x"]),
        ("./odd.sh", "config_invalid_value", ["`command`", ""]),
    ] {
        odd.sandbox.write_config(&format!("[providers.odd]\nkind = \"exec\"\ncommand = [\"{command}\"]\n"));
        let _ = odd.token().ends(5).fails_with(code).says(parts[0]).says(parts[1]);
    }
}
