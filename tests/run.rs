//! A run of the broker: what it was told, and how it ended.

use std::ops::{Deref, DerefMut};
use std::process::{Child, Output};

use chrono::DateTime;
use serde_json::Value;

use crate::canary::{assert_no_secret, secret_in};

/// How a run of the broker ended.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it told people.
    pub err: String,
    /// What it logged because of `BROKER_E2E_VVV`.
    pub log: String,
}

impl Run {
    /// Checks the exit code, and shows everything if it is another.
    #[track_caller]
    #[must_use]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Asserts that it failed with this stable code: `error[CODE]` on stderr.
    #[track_caller]
    #[must_use]
    pub fn fails_with(self, code: &str) -> Self {
        assert!(self.err.contains(&format!("error[{code}]")), "not error[{code}] in stderr: {}", self.err);
        self
    }

    /// Checks what was printed.
    #[track_caller]
    #[must_use]
    pub fn prints(self, words: &str) -> Self {
        assert!(self.out.contains(words), "`{words}` is not printed: {}\nstderr: {}", self.out, self.err);
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

    /// Reads what came of a run, and searches it for secrets.
    #[track_caller]
    pub(crate) fn read(output: Output, told: Told) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let (out, all) = (text(output.stdout), text(output.stderr));
        assert_no_secret("stderr", &all);
        let (log, err) = if told.chatty { split(&all) } else { (String::new(), all) };
        let code = output.status.code().unwrap_or(-1);
        // A token is the answer of `token` and of `helper`, and of nothing else.
        let secret = secret_in(&out).filter(|_| !told.asks_for_a_token || code != 0);
        assert_eq!(secret, None, "a secret is in stdout: {out}");
        Self { code, out, err, log }
    }
}

/// A broker that runs.
pub struct Started {
    child: Child,
    told: Told,
}

impl Started {
    pub(crate) fn new(child: Child, told: Told) -> Self {
        Self { child, told }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If a secret is seen where none may be.
    #[track_caller]
    pub(crate) fn finish(self) -> Run {
        Run::read(self.child.wait_with_output().expect("the broker ends"), self.told)
    }
}

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

/// What matters of the words of a command line.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    asks_for_a_token: bool,
    /// It logs, and the test did not ask for that.
    pub(crate) chatty: bool,
}

impl Told {
    pub(crate) fn of(words: &[&str]) -> Self {
        // `inspect` shows claims, which the fake servers mark too.
        let asks_for_a_token =
            words.iter().any(|word| ["token", "inspect"].contains(word)) || words.first() == Some(&"helper");
        Self { asks_for_a_token, chatty: !louder(words).is_empty() }
    }
}

/// `-vvv` for a command that has neither `-v` nor `-q` nor another program's words, if `BROKER_E2E_VVV` is 1: the whole
/// suite then shows that no log line has a secret in it.
#[must_use]
pub fn louder(words: &[&str]) -> &'static [&'static str] {
    let asked = std::env::var_os("BROKER_E2E_VVV").is_some_and(|value| value == "1");
    let own = |word: &str| word.starts_with("-v") || word.starts_with("-q") || word == "--quiet";
    // What stands after `--` is another program's.
    let loud = |word: &str| own(word) || word == "--";
    if asked && !words.is_empty() && !words.iter().copied().any(loud) { &["-vvv"] } else { &[] }
}

/// Whether a line is the log's: it begins with a time, or names a cause.
#[must_use]
pub fn is_log(line: &str) -> bool {
    let time = line.split(' ').next().unwrap_or_default();
    line.starts_with("because: ") || DateTime::parse_from_rfc3339(time).is_ok()
}

/// The log, and what is for people.
fn split(all: &str) -> (String, String) {
    all.split_inclusive('\n').partition(|line| is_log(line))
}
