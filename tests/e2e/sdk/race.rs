//! Races renewals of the broker against EarthScope's SDK, which takes no lock, at a service that ends a login if it
//! gets a refresh token twice.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use broker_e2e::{Sandbox, finish, spawn};
use broker_testkit::{EarthScope, Rotation};
use chrono::TimeDelta;
use serde_json::json;

use super::{TOKEN, jwt, read_login, seismic, write_login};
use crate::stage::{program, repository, target_folder};
use crate::strace::need_strace;

/// A broker that sends its request so long after the SDK has replaced the login file could have seen the replacement.
/// File times have a resolution of 4 ms, and a busy machine may interrupt the broker between check and request.
const VISIBLE: Duration = Duration::from_millis(10);

fn rounds() -> usize {
    if std::env::var_os("BROKER_E2E_FULL").is_some() { 300 } else { 40 }
}

/// A Python process with EarthScope's SDK, which forks a process for each call of `es`.
struct Es {
    process: Child,
    calls: ChildStdin,
    results: BufReader<ChildStdout>,
}

impl Es {
    fn start(sandbox: &Sandbox, service: &EarthScope) -> Self {
        let python = target_folder().with_file_name("target").join("consumers/venv/bin/python");
        assert!(python.exists(), "run tests/consumers/run");
        let script = repository().join("tests/consumers/es_crowd.py").display().to_string();
        let mut command = program(sandbox, &python.display().to_string(), &[&script]);
        command.env("ES_OAUTH2__DOMAIN", service.url()).env("ES_RESOURCES__API_URL", service.url());
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.expect("Python runs");
        let calls = process.stdin.take().expect("stdin");
        let results = BufReader::new(process.stdout.take().expect("stdout"));
        Self { process, calls, results }
    }

    fn call(&mut self) {
        let call = json!([["user", "get-access-token"], 1]);
        writeln!(self.calls, "{call}").and_then(|()| self.calls.flush()).expect("a call");
    }

    fn finish(&mut self) {
        let mut line = String::new();
        self.results.read_line(&mut line).expect("a result");
        assert!(line.starts_with("[["), "{line}");
    }
}

impl Drop for Es {
    fn drop(&mut self) {
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// A race of an SDK with another SDK or the broker.
struct Race {
    service: EarthScope,
    sandbox: Sandbox,
    first: Es,
    second: Es,
    /// How long a call of `es` takes.
    longest: Duration,
}

impl Race {
    fn new() -> Self {
        let (service, sandbox) = seismic(Rotation::RotateDetectReuse);
        let [first, second] = [(); 2].map(|()| Es::start(&sandbox, &service));
        let mut race = Self { service, sandbox, first, second, longest: Duration::ZERO };
        race.log_in();
        let mut time = |es: fn(&mut Self) -> &mut Es| {
            es(&mut race).call();
            es(&mut race).finish();
        };
        time(|race| &mut race.first);
        time(|race| &mut race.second);
        race.log_in();
        let since = Instant::now();
        race.first.call();
        race.first.finish();
        race.longest = since.elapsed();
        race
    }

    /// Writes a new login whose access token is about to expire.
    fn log_in(&self) {
        let access = jwt(self.service.url(), TimeDelta::seconds(30), |claims| {
            claims["iat"] = (claims["exp"].as_i64().expect("a time") - 86_400).into();
        });
        let refresh = self.service.issue_refresh_token();
        write_login(&self.sandbox, &json!({ "access_token": access, "refresh_token": refresh }));
    }

    fn is_lost(&self) -> bool {
        !self.service.is_live(read_login(&self.sandbox)["refresh_token"].as_str().expect("a refresh token"))
    }

    /// Waits for a random time up to the duration of a call of `es`.
    fn pause(&self) {
        std::thread::sleep(self.longest.mul_f64(fastrand::f64()));
    }

    /// Lets two SDKs renew at almost the same time. Returns whether the login is lost.
    fn with_sdk(&mut self) -> bool {
        self.log_in();
        self.first.call();
        self.pause();
        self.second.call();
        self.first.finish();
        self.second.finish();
        self.is_lost()
    }

    /// Lets an SDK and the broker renew at almost the same time, in any order. If the login is lost, returns how long
    /// after the SDK replaced the file the broker sent its request.
    fn with_broker(&mut self) -> Option<Duration> {
        self.log_in();
        let log = self.sandbox.home().join("calls");
        let path = log.display().to_string();
        let calls = "trace=sendto,write,writev";
        let strace = ["strace", "-f", "-qq", "-ttt", "--seccomp-bpf", "-e", calls, "-o", &path];
        let command = self.sandbox.command_under(&strace, &TOKEN);
        let broker_first = fastrand::bool();
        if !broker_first {
            self.first.call();
            self.pause();
        }
        let broker = spawn(command, &TOKEN);
        if broker_first {
            self.pause();
            self.first.call();
        }
        let run = finish(broker);
        self.first.finish();
        if !self.is_lost() {
            assert_eq!(run.code, 0, "{run:?}");
            return None;
        }
        let replaced = std::fs::metadata(self.sandbox.tokens_path()).expect("the login file");
        let nanoseconds = u32::try_from(replaced.ctime_nsec()).expect("nanoseconds");
        let replaced = Duration::new(replaced.ctime().unsigned_abs(), nanoseconds);
        let log = std::fs::read_to_string(log).expect("its log");
        let request = log.lines().find(|line| line.contains("\"POST ")).expect("a request");
        let at = request.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a time");
        Some(Duration::from_secs_f64(at).saturating_sub(replaced))
    }
}

#[test]
#[ignore = "needs strace and the Python of tests/consumers"]
fn race_with_earthscope_sdk_loses_fewer_logins_than_two_sdks() {
    need_strace();
    let mut race = Race::new();
    let sdks = (0..rounds()).filter(|_| race.with_sdk()).count();
    let late: Vec<_> = (0..rounds()).filter_map(|_| race.with_broker()).collect();
    let visible: Vec<_> = late.iter().filter(|late| **late > VISIBLE).collect();
    let figures = format!(
        "of {} rounds, two SDKs lost {sdks}, SDK and broker lost {}: {late:?} after the SDK's write",
        rounds(),
        late.len()
    );
    std::io::stdout().write_all(format!("{figures}\n").as_bytes()).expect("stdout");
    assert!(visible.is_empty(), "the broker sent a token that the SDK had replaced: {figures}");
    assert!(late.len() <= sdks, "{figures}");
}
