//! Exit code and output of a finished `broker` process.

use std::ops::{Deref, DerefMut};
use std::process::{Child, Output};

use chrono::DateTime;
use serde_json::Value;

use crate::canary::{assert_no_secret, secret_in};

/// The exit code and output of `broker`.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The exit code, or -1 if a signal killed the process.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error without log lines.
    pub err: String,
    /// The log lines of standard error. `BROKER_E2E_VVV=1` enables the log.
    pub log: String,
}

impl Run {
    /// Asserts that the process has exited with this code.
    #[track_caller]
    #[must_use]
    pub fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Asserts that stderr contains `error[CODE]`, and that stdout is empty.
    #[track_caller]
    #[must_use]
    pub fn fails_with(self, code: &str) -> Self {
        assert_eq!(self.out, "", "a failed command printed to stdout; stderr: {}", self.err);
        assert!(self.err.contains(&format!("error[{code}]")), "not error[{code}] in stderr: {}", self.err);
        self
    }

    /// Asserts that stdout contains this text.
    #[track_caller]
    #[must_use]
    pub fn prints(self, words: &str) -> Self {
        assert!(self.out.contains(words), "`{words}` is not in stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Asserts that stderr contains this text.
    #[track_caller]
    #[must_use]
    pub fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "`{words}` is not in stderr: {}", self.err);
        self
    }

    /// Asserts that stderr does not contain this text.
    #[track_caller]
    #[must_use]
    pub fn omits(self, words: &str) -> Self {
        assert!(!self.err.contains(words), "`{words}` is in stderr: {}", self.err);
        self
    }

    /// Asserts success, and returns the token that stdout contains.
    #[track_caller]
    #[must_use]
    pub fn token(self) -> String {
        let run = self.ends(0);
        let line = run.out.strip_suffix('\n').expect("a newline after the token");
        assert!(!line.is_empty() && !line.contains(char::is_whitespace), "not a token: {line:?}");
        line.to_owned()
    }

    /// Asserts success, and parses stdout as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(self) -> Value {
        serde_json::from_str(&self.ends(0).out).expect("JSON on stdout")
    }

    /// Creates a [`Run`] from the output of a process, and fails the test if a secret leaked.
    #[track_caller]
    pub(crate) fn read(output: Output, invocation: Invocation) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let (out, all) = (text(output.stdout), text(output.stderr));
        assert_no_secret("stderr", &all);
        let (log, err) = if invocation.adds_log { split(&all) } else { (String::new(), all) };
        let code = output.status.code().unwrap_or(-1);
        let secret = secret_in(&out).filter(|_| !invocation.prints_token || code != 0);
        assert_eq!(secret, None, "a secret is in stdout: {out}");
        Self { code, out, err, log }
    }
}

/// A running broker process, killed if the test panics.
pub struct Started {
    /// The process. `None` after [`Started::finish`].
    child: Option<Child>,
    invocation: Invocation,
}

impl Started {
    pub(crate) fn new(child: Child, invocation: Invocation) -> Self {
        Self { child: Some(child), invocation }
    }

    /// Waits until the broker exits.
    ///
    /// # Panics
    /// If the output contains a secret.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Run {
        let child = self.child.take().expect("a running broker");
        Run::read(child.wait_with_output().expect("the broker ends"), self.invocation)
    }
}

impl Deref for Started {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.child.as_ref().expect("a running broker")
    }
}

impl DerefMut for Started {
    fn deref_mut(&mut self) -> &mut Child {
        self.child.as_mut().expect("a running broker")
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut().filter(|_| std::thread::panicking()) {
            let _ = child.kill().and_then(|()| child.wait());
        }
    }
}

/// What the output of a command may contain, according to its arguments.
#[derive(Clone, Copy)]
pub(crate) struct Invocation {
    /// Whether the command may print secrets to stdout, as `token`, `helper` and `inspect` do.
    prints_token: bool,
    /// Whether the tests add `-vvv` to the arguments, so that stderr contains log lines.
    pub(crate) adds_log: bool,
}

impl Invocation {
    pub(crate) fn of(words: &[&str]) -> Self {
        let prints_token =
            words.iter().any(|word| ["token", "inspect"].contains(word)) || words.first() == Some(&"helper");
        Self { prints_token, adds_log: !louder(words).is_empty() }
    }
}

/// Returns `-vvv` if `BROKER_E2E_VVV` is 1 and the arguments contain none of `-v`, `-q` and `--`. The tests
/// then search all log lines for secrets.
#[must_use]
pub fn louder(words: &[&str]) -> &'static [&'static str] {
    let asked = std::env::var_os("BROKER_E2E_VVV").is_some_and(|value| value == "1");
    let own =
        |word: &&str| word.starts_with("-v") || word.starts_with("-q") || ["--quiet", "--"].contains(word);
    // `help` accepts no flags, and `exec` without `--` passes flags to the command that it runs.
    let takes_flags = !matches!(words.first(), None | Some(&"help" | &"exec"));
    if asked && takes_flags && !words.iter().any(own) { &["-vvv"] } else { &[] }
}

/// Returns whether a line of stderr is a log line: one that begins with a timestamp or `because: `.
#[must_use]
pub fn is_log(line: &str) -> bool {
    let time = line.split(' ').next().unwrap_or_default();
    line.starts_with("because: ") || DateTime::parse_from_rfc3339(time).is_ok()
}

/// Splits stderr into log lines and messages.
fn split(all: &str) -> (String, String) {
    all.split_inclusive('\n').partition(|line| is_log(line))
}
