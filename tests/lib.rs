//! Runs the real `broker` program in a sandbox with its own home folder and environment.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "test support panics at once"
)]

mod canary;
mod run;

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tempfile::TempDir;

pub use canary::{MARK, assert_no_secret, secret_in};
use run::Invocation;
pub use run::{Run, Started, is_log, louder};

/// Returns the path of the `broker` program that was built with this test.
///
/// # Panics
/// If cargo has not built the program. Cargo builds it for tests, not for examples.
pub fn broker_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // The test program's path is target/PROFILE/deps/NAME-HASH.
        let this = std::env::current_exe().expect("the path of this test");
        let profile = this.ancestors().nth(2).expect("the folder of this profile");
        let built = profile.join("broker-for-tests");
        assert!(built.exists(), "cargo has not built {}", built.display());
        let name = profile.file_name().expect("a profile").display();
        let folder = profile.with_file_name(format!("broker-{name}"));
        std::fs::create_dir_all(&folder).expect("a folder in target");
        let link = folder.join("broker");
        if link.read_link().ok().as_ref() != Some(&built) {
            // Another test process may create the same link. A rename replaces that link without an error.
            let temporary = folder.join(std::process::id().to_string());
            symlink(&built, &temporary).expect("a link");
            std::fs::rename(&temporary, &link).expect("the link named `broker`");
        }
        link
    })
}

/// A home folder and an environment for one test. Fails the test if stderr, a file that other users can read, or the
/// stdout of a command that prints no token contains a secret.
pub struct Sandbox {
    folder: TempDir,
    env: BTreeMap<String, String>,
    /// Files that the test wrote itself, which the search for secrets skips.
    own: Mutex<Vec<PathBuf>>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// Creates an empty home folder.
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

    /// Writes the user's configuration file and returns the sandbox.
    #[must_use]
    pub fn with_config(self, toml: &str) -> Self {
        self.write_config(toml);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes the user's configuration file.
    pub fn write_config(&self, toml: &str) {
        self.write(&self.config_path(), toml);
    }

    /// Writes a file that the search for secrets skips.
    pub fn write(&self, path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        self.own.lock().expect("the list").push(path.to_owned());
    }

    /// Returns the content of the user's configuration file.
    #[must_use]
    pub fn config(&self) -> String {
        std::fs::read_to_string(self.config_path()).expect("a configuration")
    }

    /// Returns the path of the user's configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.home().join(".config/broker/providers.toml")
    }

    /// Returns the home folder.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Returns the folder in which the broker stores records.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.home().join(".local/state/broker")
    }

    /// Returns the path of a provider's record.
    #[must_use]
    pub fn record_path(&self, provider: &str) -> PathBuf {
        self.state().join(format!("{provider}.json"))
    }

    /// Returns a provider's record. If it refers to EarthScope's own login file, adds the refresh token of that file.
    #[must_use]
    pub fn record(&self, provider: &str) -> Value {
        let bytes = std::fs::read(self.record_path(provider)).expect("a record");
        let mut record = serde_json::from_slice(&bytes).expect("a record in JSON");
        join_shared(&mut record);
        record
    }

    /// Returns the path of the login file that EarthScope's own tools use.
    #[must_use]
    pub fn tokens_path(&self) -> PathBuf {
        self.home().join(".earthscope/default/tokens.json")
    }

    /// Moves all timestamps of a provider's record back by `by`, as if that time had passed.
    pub fn age(&self, provider: &str, by: TimeDelta) {
        age_file(&self.record_path(provider), by);
    }

    /// Returns the `broker` command with these arguments, in this sandbox.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        self.inside(Command::new(broker_binary()), words)
    }

    /// Returns a command that runs `broker` under another program such as `timeout` or `strace`.
    ///
    /// # Panics
    /// If `program` is empty.
    #[must_use]
    pub fn command_under(&self, program: &[&str], words: &[&str]) -> Command {
        let (name, its_arguments) = program.split_first().expect("a program");
        let mut command = Command::new(name);
        command.args(its_arguments).arg(broker_binary());
        self.inside(command, words)
    }

    /// Prepares a command that runs another build of `broker` in this sandbox.
    #[must_use]
    pub fn inside(&self, mut command: Command, words: &[&str]) -> Command {
        command
            .args(words)
            .args(louder(words))
            .env_clear()
            .envs(&self.env)
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Runs `broker` with these arguments until it exits.
    #[track_caller]
    #[must_use]
    pub fn broker(&self, words: &[&str]) -> Run {
        Run::read(self.command(words).output().expect("the broker runs"), Invocation::of(words))
    }

    /// Runs `broker` with `input` as standard input.
    #[track_caller]
    #[must_use]
    pub fn broker_reading(&self, words: &[&str], input: &str) -> Run {
        let mut command = self.command(words);
        command.stdin(Stdio::piped());
        let mut child = spawn(command, words);
        let written = child.stdin.take().expect("the broker's stdin").write_all(input.as_bytes());
        drop(written);
        child.finish()
    }

    /// Starts `broker` with these arguments in the background. [`finish`] waits for its output.
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Started {
        spawn(self.command(words), words)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // During a panic, a second panic would abort and hide why the test failed.
        if !std::thread::panicking() {
            let own = self.own.lock().expect("the list");
            assert_eq!(canary::open_files(&self.home(), &own), [""; 0]);
        }
    }
}

/// If a record refers to EarthScope's own login file, copies the refresh token of that file into the record.
pub fn join_shared(record: &mut Value) {
    let Some(path) = record["shared"]["path"].as_str() else { return };
    let login: Option<Value> = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(login) = login.filter(|_| record["grant"]["secret"] == "") else { return };
    if let Some(grant) = record["grant"].as_object_mut() {
        grant.insert("secret".to_owned(), login["refresh_token"].clone());
    }
}

/// Moves all timestamps in a record file back by `by`, as if that time had passed.
pub fn age_file(path: &Path, by: TimeDelta) {
    let bytes = std::fs::read(path).expect("a record");
    let mut record = serde_json::from_slice(&bytes).expect("a record in JSON");
    move_back(&mut record, by);
    std::fs::write(path, record.to_string()).expect("a record written");
}

/// Starts a command from [`Sandbox::command`]. The command's arguments `words` decide whether stdout may contain a token.
#[must_use]
pub fn spawn(mut command: Command, words: &[&str]) -> Started {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the broker runs");
    started(child, words)
}

/// Wraps a running broker. The broker's arguments `words` decide whether stdout may contain a token.
#[must_use]
pub fn started(child: Child, words: &[&str]) -> Started {
    Started::new(child, Invocation::of(words))
}

/// Sends a signal such as `INT` to a running broker.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", "kill -s $0 $1", name, &child.id().to_string()]).status();
    assert!(sent.expect("kill").success(), "{name} is sent");
}

/// Waits until a running broker exits, and returns its output.
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
