//! A place to run the real `broker` in: a home of its own, an environment of its own, and nothing else's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on should say so at once"
)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;

/// The `broker` binary of this build, made if it is not there or not new.
///
/// # Panics
/// If it cannot be built.
pub fn broker_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // target/PROFILE/deps/this-test
        let this = std::env::current_exe().expect("a path of this test");
        let profile = this.ancestors().nth(2).expect("a target folder");
        let target = profile.parent().expect("a target folder");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "broker-cli", "--target-dir"]).arg(target);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        // What cargo tells this test of its own package would have build scripts run again, for nothing.
        for (name, _) in std::env::vars_os() {
            let told = name.to_str().unwrap_or_default();
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"]
                .iter()
                .any(|of| told.starts_with(of))
            {
                cargo.env_remove(&name);
            }
        }
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the broker is built");
        profile.join("broker")
    })
}

/// A home and an environment for one test.
pub struct Sandbox {
    folder: TempDir,
    env: BTreeMap<String, String>,
}

/// How a run of the broker ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it told people.
    pub err: String,
}

impl Run {
    /// Checks the exit code, and shows everything if it is another.
    #[track_caller]
    #[must_use]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Checks that it told people this.
    #[track_caller]
    #[must_use]
    pub fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "`{words}` is not in stderr: {}", self.err);
        self
    }

    /// The printed token: one line.
    #[track_caller]
    #[must_use]
    pub fn token(self) -> String {
        let run = self.ends(0);
        let line = run.out.strip_suffix('\n').expect("a line end after the token");
        assert!(!line.is_empty() && !line.contains(char::is_whitespace), "one word: {line:?}");
        line.to_owned()
    }

    /// The printed JSON.
    #[track_caller]
    #[must_use]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ends(0).out).expect("JSON on stdout")
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty home.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join("home");
        std::fs::create_dir(&home).expect("a home");
        let env = BTreeMap::from([
            ("HOME".to_owned(), home.display().to_string()),
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
        ]);
        Self { folder, env }
    }

    /// With a configuration file of the person's.
    #[must_use]
    pub fn with_config(self, toml: &str) -> Self {
        self.write_config(toml);
        self
    }

    /// With an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes the person's configuration file.
    pub fn write_config(&self, toml: &str) {
        let path = self.config_path();
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, toml).expect("a configuration file");
    }

    /// The person's configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.home().join(".config/broker/providers.toml")
    }

    /// The home folder.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// The folder of records.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.home().join(".local/state/broker")
    }

    /// The record file of a provider.
    #[must_use]
    pub fn record_path(&self, provider: &str) -> PathBuf {
        self.state().join(format!("{provider}.json"))
    }

    /// The record of a provider.
    #[must_use]
    pub fn record(&self, provider: &str) -> Value {
        let bytes = std::fs::read(self.record_path(provider)).expect("a record");
        serde_json::from_slice(&bytes).expect("a record in JSON")
    }

    /// Lets time pass for a record: every moment in it lies that much further back.
    pub fn age(&self, provider: &str, by: TimeDelta) {
        age_file(&self.record_path(provider), by);
    }

    /// The `broker` command with these words, in this sandbox.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        self.inside(Command::new(broker_binary()), words)
    }

    /// The same, started by another program: `timeout`, `strace`.
    ///
    /// # Panics
    /// If no program is named.
    #[must_use]
    pub fn command_under(&self, program: &[&str], words: &[&str]) -> Command {
        let (name, its_words) = program.split_first().expect("a program");
        let mut command = Command::new(name);
        command.args(its_words).arg(broker_binary());
        self.inside(command, words)
    }

    fn inside(&self, mut command: Command, words: &[&str]) -> Command {
        command.args(words).env_clear().envs(&self.env).current_dir(self.home()).stdin(Stdio::null());
        command
    }

    /// Runs `broker` with these words to its end.
    #[must_use]
    pub fn broker(&self, words: &[&str]) -> Run {
        self.command(words).output().expect("the broker runs").into()
    }

    /// Runs `broker` with this on its standard input.
    #[must_use]
    pub fn broker_reading(&self, words: &[&str], input: &str) -> Run {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the broker runs");
        let written = child.stdin.take().expect("its stdin").write_all(input.as_bytes());
        drop(written);
        child.wait_with_output().expect("the broker ends").into()
    }

    /// Starts `broker` with these words, its output kept for [`finish`].
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the broker runs")
    }
}

/// Lets time pass for the record in a file: see [`Sandbox::age`].
pub fn age_file(path: &Path, by: TimeDelta) {
    let bytes = std::fs::read(path).expect("a record");
    let mut record = serde_json::from_slice(&bytes).expect("a record in JSON");
    move_back(&mut record, by);
    std::fs::write(path, record.to_string()).expect("a record written");
}

/// Sends a started broker a signal: `INT`, `TERM`, `HUP`.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(sent.expect("kill").success(), "{name} is sent");
}

/// Waits for a started broker.
#[must_use]
pub fn finish(child: Child) -> Run {
    child.wait_with_output().expect("the broker ends").into()
}

fn move_back(value: &mut Value, by: TimeDelta) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if key == "at" || key.ends_with("_at") {
                    if let Some(time) = value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok()) {
                        *value = Value::from((time - by).to_rfc3339());
                    }
                } else {
                    move_back(value, by);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_back(item, by)),
        _ => {}
    }
}
