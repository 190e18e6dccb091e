//! A place to run the real `broker` in: a home of its own, an environment of its own, and nothing else's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on should say so at once"
)]

mod canary;
mod run;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;

pub use canary::{MARK, assert_no_secret, secret_in};
use run::Told;
pub use run::{Run, Started, is_log, louder};

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

/// A home and an environment for one test. Whatever runs in it is searched for secrets where none may be: stderr,
/// stdout unless a token was asked for, and at the end the files that others can read.
pub struct Sandbox {
    folder: TempDir,
    env: BTreeMap<String, String>,
    /// Files that the test itself wrote, as open as it likes.
    own: Mutex<Vec<PathBuf>>,
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
        Self { folder, env, own: Mutex::default() }
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
        self.write(&self.config_path(), toml);
    }

    /// Writes a file that may hold a secret though others can read it.
    pub fn write(&self, path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        self.own.lock().expect("a list").push(path.to_owned());
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

    /// The record of a provider, with the login in it that is in a file of the service's own tools.
    #[must_use]
    pub fn record(&self, provider: &str) -> Value {
        let bytes = std::fs::read(self.record_path(provider)).expect("a record");
        let mut record = serde_json::from_slice(&bytes).expect("a record in JSON");
        join_shared(&mut record);
        record
    }

    /// The file that is shared with EarthScope's own tools.
    #[must_use]
    pub fn tokens_path(&self) -> PathBuf {
        self.home().join(".earthscope/default/tokens.json")
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
        command
            .args(words)
            .args(louder(words))
            .env_clear()
            .envs(&self.env)
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Runs `broker` with these words to its end.
    #[track_caller]
    #[must_use]
    pub fn broker(&self, words: &[&str]) -> Run {
        Run::read(self.command(words).output().expect("the broker runs"), Told::of(words))
    }

    /// Runs `broker` with this on its standard input.
    #[track_caller]
    #[must_use]
    pub fn broker_reading(&self, words: &[&str], input: &str) -> Run {
        let mut command = self.command(words);
        command.stdin(Stdio::piped());
        let mut child = spawn(command, words);
        let written = child.stdin.take().expect("its stdin").write_all(input.as_bytes());
        drop(written);
        child.finish()
    }

    /// Starts `broker` with these words, its output kept for [`finish`].
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Started {
        spawn(self.command(words), words)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A test that failed has said why.
        if !std::thread::panicking() {
            let own = self.own.lock().expect("a list");
            assert_eq!(canary::open_files(&self.home(), &own), [""; 0]);
        }
    }
}

/// Puts the login into a record that is in a file of the service's own tools, if the record says that it is there.
pub fn join_shared(record: &mut Value) {
    let Some(path) = record["shared"]["path"].as_str() else { return };
    let login: Option<Value> = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(login) = login.filter(|_| record["grant"]["secret"] == "") else { return };
    if let Some(grant) = record["grant"].as_object_mut() {
        grant.insert("secret".to_owned(), login["refresh_token"].clone());
    }
}

/// Lets time pass for the record in a file: see [`Sandbox::age`].
pub fn age_file(path: &Path, by: TimeDelta) {
    let bytes = std::fs::read(path).expect("a record");
    let mut record = serde_json::from_slice(&bytes).expect("a record in JSON");
    move_back(&mut record, by);
    std::fs::write(path, record.to_string()).expect("a record written");
}

/// Starts a command of [`Sandbox::command`] or [`Sandbox::command_under`] that has these words, its output kept for
/// [`finish`].
#[must_use]
pub fn spawn(mut command: Command, words: &[&str]) -> Started {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the broker runs");
    started(child, words)
}

/// A broker that runs already, of these words.
#[must_use]
pub fn started(child: Child, words: &[&str]) -> Started {
    Started::new(child, Told::of(words))
}

/// Sends a started broker a signal: `INT`, `TERM`, `HUP`.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s $0 $1", name, &child.id().to_string()]).status();
    assert!(sent.expect("kill").success(), "{name} is sent");
}

/// Waits for a started broker.
#[must_use]
#[track_caller]
pub fn finish(child: Started) -> Run {
    child.finish()
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
