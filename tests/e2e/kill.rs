//! Ends `broker` with signals at any point of a token exchange. Then the record must be complete, and the login must
//! work. Only SIGKILL between the rotation of the refresh token and the save may lose the login, and the next call must
//! then say so.

mod points;
mod quiet;
mod random;
mod signals;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::{Duration, Instant};

use broker_e2e::{Run, Sandbox, join_shared};
use broker_testkit::{EarthScope, EarthScopeOptions, Rotation};
use chrono::TimeDelta;
use rustix::process::Signal;
use serde_json::Value;

use crate::stage::{log_in, logged_in, mode};

const TOKEN: [&str; 2] = ["token", "earthscope"];
const A_MOMENT: Duration = Duration::from_secs(30);

/// How the service issues and invalidates refresh tokens.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    rotation: Rotation,
    grace: usize,
}

const KEEP: Case = Case { name: "keep", rotation: Rotation::Keep, grace: 0 };
const OMIT: Case = Case { name: "omit", rotation: Rotation::Omit, grace: 0 };
const GRACE: Case = Case { name: "rotate, grace", rotation: Rotation::Rotate, grace: 1 };
const ROTATE: Case = Case { name: "rotate", rotation: Rotation::Rotate, grace: 0 };
const REUSE: Case = Case { name: "rotate, detect reuse", rotation: Rotation::RotateDetectReuse, grace: 0 };

impl Case {
    fn spends(&self) -> bool {
        self.grace == 0 && matches!(self.rotation, Rotation::Rotate | Rotation::RotateDetectReuse)
    }
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::KILL => "KILL",
        Signal::INT => "INT",
        Signal::TERM => "TERM",
        _ => "HUP",
    }
}

fn token(record: &Value) -> Value {
    record["tokens"][""]["secret"].clone()
}

/// The service's counters and the stored token, before a signal ends `broker`.
struct Before {
    refreshes: usize,
    reuses: usize,
    token: Value,
}

/// A service and a sandbox with a login.
struct Scene {
    case: Case,
    service: EarthScope,
    sandbox: Sandbox,
    /// Counts of `broker` runs that a signal ended. The key says what the run had done, such as `saved`.
    tally: BTreeMap<&'static str, usize>,
}

impl Scene {
    fn new(case: Case) -> Self {
        let (rotation, refresh_grace) = (case.rotation, case.grace);
        let options = EarthScopeOptions { rotation, refresh_grace, ..EarthScopeOptions::default() };
        let (service, sandbox) = logged_in(options, "");
        Self { case, service, sandbox, tally: BTreeMap::new() }
    }

    /// Makes the stored token expire. The next call will renew the token.
    fn expire(&self) -> Before {
        self.sandbox.age("earthscope", TimeDelta::days(2));
        self.service.forget_seen();
        Before {
            refreshes: self.service.refreshes(),
            reuses: self.service.reuse_events(),
            token: token(&self.sandbox.record("earthscope")),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Runs the command again after a signal ended it, and checks record and login. `at` says when the signal was sent.
    fn check_after(&mut self, before: &Before, signal: Signal, at: &str, ended: &Output) {
        let what = format!("{}, {} {at}", self.case.name, name(signal));
        self.wait_for_service(before);
        self.check_end(signal, ended, &what);
        let left = self.complete_record(&what);
        let saved = token(&left) != before.token;
        for printed in String::from_utf8_lossy(&ended.stdout).lines() {
            assert_eq!(token(&left), printed, "{what}: printed but not saved");
        }

        // Until 10 s after a request without a response, the next call would wait.
        self.sandbox.age("earthscope", TimeDelta::seconds(10));
        let next = self.sandbox.broker(&TOKEN);
        let renewed = usize::from(next.code == 0 && !saved);
        let spent = (self.service.refreshes() - before.refreshes).checked_sub(renewed);
        let spent = spent.unwrap_or_else(|| panic!("{what}: a token without a refresh: {next:?}"));
        assert!(spent <= 1, "{what}: asked {spent} times");
        self.count("stopped");
        self.count(match (saved, spent) {
            (true, _) => "saved",
            (false, 0) => "before the request",
            (false, _) => "in the window",
        });
        // No client can keep a rotated login if it is killed before it saves the response.
        let unavoidable = signal == Signal::KILL && self.case.spends() && !saved && spent == 1;
        if unavoidable && next.code == 3 {
            self.check_loss_is_reported(&next, &what);
        } else {
            self.check_login_works(next, &what);
        }
        self.check_folder(&what);
    }

    /// Waits until the service has processed all received requests, including delayed requests.
    fn wait_for_service(&self, before: &Before) {
        let since = Instant::now();
        let acted =
            || (self.service.refreshes() - before.refreshes) + (self.service.reuse_events() - before.reuses);
        while self.service.count("token") > acted() {
            assert!(since.elapsed() < A_MOMENT, "the service hangs");
            std::thread::yield_now();
        }
    }

    fn check_end(&mut self, signal: Signal, ended: &Output, what: &str) {
        let (number, status) = (signal.as_raw(), ended.status);
        if status.code() == Some(0) {
            self.count("ended before");
            assert!(ended.stdout.ends_with(b"\n"), "{what}: exit 0 without a token: {ended:?}");
        } else if status.signal() == Some(number) {
            // Before its first request, the broker may have no signal handler yet, so a signal may end it at once.
            let early = signal == Signal::KILL || self.service.count("token") == 0;
            assert!(early, "{what}: the signal was not delayed");
        } else {
            assert_eq!(status.code(), Some(128 + number), "{what}: {ended:?}");
        }
    }

    /// Reads the record. Checks that the file is complete and private.
    fn complete_record(&self, what: &str) -> Value {
        let path = self.sandbox.record_path("earthscope");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{what}: no record: {error}"));
        let text = String::from_utf8_lossy(&bytes);
        let mut record: Value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| panic!("{what}: incomplete: {error}: {text:?}"));
        join_shared(&mut record);
        let has_login = record["grant"]["secret"].as_str().is_some_and(|secret| !secret.is_empty());
        assert!(has_login, "{what}: no login in {text}");
        assert_eq!(mode(&path), 0o600, "{what}");
        record
    }

    fn check_login_works(&self, next: Run, what: &str) {
        assert_eq!(next.code, 0, "{what}: a login is lost: {next:?}");
        let record = self.complete_record(what);
        let refresh = record["grant"]["secret"].as_str().expect("a refresh token");
        assert!(self.service.is_live(refresh), "{what}: the stored refresh token is not the last one");
        let status = self.sandbox.broker(&["status", "earthscope", "--json"]).json();
        assert!(status["providers"][0]["note"].is_null(), "{what}: no renewal is running: {status}");
        assert!(self.service.access_is_live(&next.token()), "{what}: an invalid token");
    }

    fn check_loss_is_reported(&mut self, next: &Run, what: &str) {
        let reported =
            next.err.contains("error[grant_refused]") && next.err.contains("broker login earthscope");
        assert!(reported, "{what}: the loss is not reported: {}", next.err);
        self.count("lost and reported");
        log_in(&self.service, &self.sandbox);
    }

    /// Checks that the lock is free, and that the next save removes temporary files.
    fn check_folder(&self, what: &str) {
        let forced = self.sandbox.broker(&["token", "earthscope", "--force"]);
        assert_eq!(forced.code, 0, "{what}: {forced:?}");
        let lock = File::open(self.sandbox.state().join("earthscope.lock")).expect("a lock file");
        assert!(lock.try_lock().is_ok(), "{what}: still locked");
        let tokens = self.sandbox.tokens_path();
        let folders = [self.sandbox.state(), tokens.parent().expect("a folder").to_owned()];
        for entry in folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder")) {
            let name = entry.expect("a file").file_name();
            let known = ["earthscope.json", "earthscope.lock", "tokens.json", ".broker.lock"];
            assert!(known.iter().any(|known| name == *known), "{what}: {} is left", name.display());
        }
    }

    fn print(&self, how: &str) {
        say(&format!("{how:<16} {:<21} {:?}", self.case.name, self.tally));
    }
}

/// Prints a line. Unlike `println`, prints even if the test passes.
fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("stdout");
}
