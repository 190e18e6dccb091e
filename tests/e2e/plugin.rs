//! Plugins as they are when they are bad: each is bounded, named, and leaves neither a process nor a loss behind.

#[path = "plugin/programs.rs"]
mod programs;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, finish, signal};
use chrono::TimeDelta;

/// A sandbox with one plugin, which does what is said next.
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

    fn beside(&self, what: &str) -> PathBuf {
        PathBuf::from(format!("{}.{what}", self.script.display()))
    }

    fn does(&self, mode: &str) -> &Self {
        self.sandbox.write(&self.beside("mode"), mode);
        self
    }

    fn token(&self) -> Run {
        self.sandbox.broker(&["token", "odd"])
    }

    fn processes(&self) -> Vec<String> {
        let pids = std::fs::read_to_string(self.beside("pids")).unwrap_or_default();
        pids.lines().map(str::to_owned).collect()
    }

    /// Checks that none of its processes lives; one that is dead may wait for its parent.
    #[track_caller]
    fn is_gone(&self) {
        let until = Instant::now() + Duration::from_secs(5);
        let lives = |pid: &String| {
            let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        while self.processes().iter().any(lives) {
            assert!(Instant::now() < until, "a process is left of {:?}", self.processes());
            std::thread::yield_now();
        }
    }
}

/// What a plugin does, the exit code, and the error code.
const BAD: [(&str, i32, &str); 21] = [
    ("no-hello", 1, "program_failed"),
    ("versions", 5, "protocol_mismatch"),
    ("crash-first", 1, "program_failed"),
    ("hang-first", 4, "timeout"),
    ("unasked", 1, "program_failed"),
    ("hang", 4, "timeout"),
    ("crash", 4, "bad_response"),
    ("killed", 4, "bad_response"),
    ("garbage", 4, "bad_response"),
    ("half", 4, "bad_response"),
    ("nothing", 1, "program_failed"),
    ("empty", 1, "program_failed"),
    ("steers", 1, "program_failed"),
    ("number", 4, "rate_limited"),
    ("asks", 4, "bad_response"),
    ("long-line", 4, "bad_response"),
    ("many-lines", 4, "bad_response"),
    ("closes", 4, "bad_response"),
    ("forks", 4, "bad_response"),
    (r#"{"kind":"refused","message":"no KANARIE-key\u001b[31m"}"#, 6, "request_refused"),
    (r#"{"kind":"unavailable","message":"busy","retry_after":90}"#, 4, "rate_limited"),
];

#[test]
fn bad_plugins_are_bounded_and_named() {
    for (mode, code, error) in BAD {
        let odd = Odd::new();
        let began = Instant::now();
        let _ = odd.does(mode).token().ends(code).fails_with(error);
        assert!(began.elapsed() < Duration::from_secs(20), "{mode}: bounded");
        odd.is_gone();
    }
}

#[test]
fn the_held_token_serves_whatever_the_plugin_does() {
    for (mode, _, _) in BAD {
        let odd = Odd::new();
        let held = odd.does("good").token().token();
        let before = odd.sandbox.record("odd");
        // In the advisory window of its hour.
        odd.sandbox.age("odd", TimeDelta::minutes(50));
        let run = odd.does(mode).token().says("the stored token is valid until");
        assert_eq!(run.token(), held, "{mode}");
        let after = odd.sandbox.record("odd");
        assert_eq!(after["grant"]["secret"], before["grant"]["secret"], "{mode}: the grant is kept");
        assert!(after["grant"]["refused_at"].is_null(), "{mode}: and not refused");
        odd.is_gone();
    }
}

#[test]
fn a_held_token_starts_no_process() {
    let odd = Odd::new();
    let first = odd.does("good").token().token();
    assert_eq!(odd.processes().len(), 1);
    assert_eq!(odd.does("crash").token().token(), first);
    let _ = odd.sandbox.broker(&["status", "odd"]).ends(0);
    assert_eq!(odd.processes().len(), 1, "neither of the two started it");
}

#[test]
fn what_is_odd_and_harmless_is_taken() {
    for mode in ["twice", "stays", "stderr"] {
        let odd = Odd::new();
        let token = odd.does(mode).token().token();
        assert!(token.starts_with("KANARIE-token-"), "{mode}");
        odd.is_gone();
    }
}

/// Waits for what a process does.
#[track_caller]
fn until(what: &str, limit: Duration, is_so: impl Fn() -> bool) {
    let until = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_a_plugin_gives_is_saved_before_the_plugin_has_ended() {
    let odd = Odd::new();
    let mut child = odd.does("stays").sandbox.start(&["token", "odd"]);
    until("it answers", Duration::from_secs(20), || odd.beside("answered").exists());
    // It stays for ten minutes, and would have a second to end by itself.
    let is_saved =
        || odd.sandbox.record_path("odd").exists() && odd.sandbox.record("odd")["grant"].is_object();
    until("it is saved at once", Duration::from_millis(900), is_saved);
    child.kill().expect("killed");
    let _ = child.wait();
    let held = odd.does("crash").token().token();
    assert!(held.starts_with("KANARIE-token-"), "nothing was only in memory");
    odd.is_gone();
}

#[test]
fn a_token_without_an_end_is_held_for_life() {
    let odd = Odd::new();
    odd.configure("life = \"10m\"");
    let json = odd.does("jwt").sandbox.broker(&["token", "odd", "--format", "json"]).json();
    let left = json["expires_in"].as_i64().expect("an end");
    assert!((500..=600).contains(&left), "{left}");
}

#[test]
fn what_brings_nobody_nearer_is_not_asked_for_again() {
    let odd = Odd::new();
    let _ = odd.does("refuses").token().ends(3).fails_with("login_required");
    assert_eq!(odd.processes().len(), 1, "nothing was sent that could be refused");
    let _ = odd.does("empty").token().ends(1);
    assert_eq!(odd.processes().len(), 2);
    let _ = odd.does("other-scope").token().ends(1).says("nor a new grant");
    assert_eq!(odd.processes().len(), 4, "one that was not there may have been a step");
}

#[test]
fn what_a_plugin_does_not_declare_it_is_not_asked_for() {
    let odd = Odd::new();
    odd.does("good");
    let _ = odd.sandbox.broker(&["token", "odd", "--name", "n"]).ends(2).fails_with("request_unsupported");
    let _ = odd.sandbox.broker(&["token", "odd", "--scope", "aws:x"]).ends(2).fails_with("scope_unsupported");
    odd.does("logs-in");
    let login = |flag: &str| odd.sandbox.broker_reading(&["login", "odd", flag], "KANARIE-secret");
    let _ = login("--refresh-token-stdin").ends(2).fails_with("login_unsupported");
    let _ = login("--password-stdin").ends(2).fails_with("login_unsupported");
}

#[test]
fn nothing_is_taken_that_was_said_before_it_was_asked() {
    let odd = Odd::new();
    let run = odd.does("logs-in-early").sandbox.broker(&["login", "odd"]).ends(1);
    let _ = run.fails_with("program_failed");
}

#[test]
fn a_variable_that_has_a_secret_is_not_the_plugins() {
    let _ = Odd::new().does("env").token().token();
}

#[test]
fn words_of_the_command_are_in_no_record() {
    let odd = Odd::new();
    odd.sandbox.write_config(&format!(
        "[providers.odd]\nkind = \"exec\"\ncommand = [\"sh\", \"{}\", \"--key=KANARIE-word\"]\n",
        odd.script.display()
    ));
    let _ = odd.does("good").token().token();
    let record = odd.sandbox.record("odd")["issuer"].to_string();
    assert!(record.contains("odd.sh") && !record.contains("KANARIE-word"), "{record}");
}

#[test]
fn a_plugin_sees_whether_an_earlier_try_had_no_answer() {
    let odd = Odd::new();
    let sent_at = || {
        let noted = std::fs::read_to_string(odd.beside("noted")).expect("a request");
        let asked: serde_json::Value = serde_json::from_str(&noted).expect("JSON");
        asked["record"]["grant"]["sent_at"].clone()
    };
    let _ = odd.does("good").token().token();
    let forced = ["token", "odd", "--force"];
    let _ = odd.does("notes").sandbox.broker(&forced).ends(0);
    assert!(sent_at().is_null(), "that it is sent now is no news");
    let _ = odd.does("hang").sandbox.broker(&forced).ends(4);
    let _ = odd.does("notes").sandbox.broker(&forced).ends(0);
    assert!(sent_at().is_string(), "the last one had no answer");
}

#[test]
fn the_first_program_in_path_that_can_run_is_run() {
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
fn a_secret_on_stderr_is_not_shown_and_is_told() {
    let odd = Odd::new();
    odd.does("leaks");
    let run = odd.sandbox.broker(&["token", "odd", "-v"]).ends(0);
    let run =
        run.says("warning: plugin `odd.sh` wrote a secret to stderr").says("[redacted]").says("asked: ");
    assert_eq!(run.err.matches("wrote a secret").count(), 1, "{}", run.err);
}

#[test]
fn a_grant_in_an_answer_that_cannot_be_read_is_kept() {
    let odd = Odd::new();
    let _ = odd.does("only-grant").token().ends(4);
    assert_eq!(odd.sandbox.record("odd")["grant"]["secret"], "KANARIE-grant-new");
    let _ = odd.does("good").token().token();
}

#[test]
fn a_plugin_that_names_another_issuer_gets_no_grant() {
    let odd = Odd::new();
    let held = odd.does("good").token().token();
    let forced = ["token", "odd", "--force"];
    let run = odd.does("elsewhere").sandbox.broker(&forced).ends(5);
    let _ = run.fails_with("config_invalid").says("broker login odd");
    assert_eq!(odd.token().token(), held, "what is held is kept");
    let _ = odd.sandbox.broker(&["login", "odd"]).ends(0);
    assert_ne!(odd.token().token(), held, "a login mends it");
}

#[test]
fn other_settings_are_another_service() {
    let odd = Odd::new();
    odd.configure("settings = { url = \"https://a.example\" }");
    let first = odd.does("good").token().token();
    odd.configure("settings = { url = \"https://b.example\" }");
    assert_ne!(odd.token().token(), first);
    odd.configure("settings = { url = \"https://a.example\" }");
    assert_eq!(odd.token().token(), first, "what was held is still held");
}

#[test]
fn a_signal_waits_for_the_answer_and_its_save() {
    let odd = Odd::new();
    let child = odd.does("waits").sandbox.start(&["token", "odd"]);
    let until = Instant::now() + Duration::from_secs(10);
    while !odd.beside("asked").exists() {
        assert!(Instant::now() < until, "it is asked");
        std::thread::yield_now();
    }
    signal(&child, "INT");
    std::fs::write(odd.beside("go"), "").expect("a file");
    let _ = finish(child).ends(130);
    let token = odd.does("crash").token().token();
    assert!(token.starts_with("KANARIE-token-"), "it was saved");
}

#[test]
fn a_program_that_is_not_there_or_cannot_run_is_named() {
    let odd = Odd::new();
    let config = |command: &str| {
        odd.sandbox.write_config(&format!("[providers.odd]\nkind = \"exec\"\ncommand = [\"{command}\"]\n"));
    };
    config("/nowhere/plugin");
    let _ = odd.token().ends(5).fails_with("program_not_found");
    config("broker-plugin-of-nobody");
    let _ = odd.token().ends(5).fails_with("program_not_found");
    config(&odd.script.display().to_string());
    let _ = odd.token().ends(5).fails_with("program_not_found").says("chmod +x");
    config("./odd.sh");
    let _ = odd.token().ends(5).fails_with("config_invalid_value");
}
