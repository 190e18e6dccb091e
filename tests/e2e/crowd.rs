//! Tests that only one of many concurrent `broker` processes (a crowd) renews an expired token at the service.

use std::io::{PipeReader, Read};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_e2e::{Run, Sandbox, Started, finish, started};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{TimeDelta, Utc};

use crate::stage::logged_in;

const PROCESSES: usize = 64;
const TOKEN: &[&str] = &["token", "earthscope"];

struct Crowd {
    service: EarthScope,
    sandbox: Sandbox,
    /// While a test holds this mutex, the fake server does not respond.
    door: Arc<Mutex<()>>,
}

/// The fake server's counts of token requests, of refreshes, and of uses of a replaced refresh token.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Asked {
    requests: usize,
    refreshes: usize,
    reuses: usize,
}

impl Crowd {
    fn new() -> Self {
        let door = Arc::<Mutex<()>>::default();
        let entrance = door.clone();
        let now = Arc::new(move || {
            drop(entrance.lock());
            Utc::now()
        });
        let rotation = Rotation::RotateDetectReuse;
        let options = EarthScopeOptions { rotation, now, ..Default::default() };
        // The first process gets its response only when all others have started. On a busy machine, that takes long.
        let (service, sandbox) = logged_in(options, "timeout = \"5m\"\n");
        Self { service, sandbox, door }
    }

    fn asked(&self) -> Asked {
        let (requests, refreshes) = (self.service.count("token"), self.service.refreshes());
        Asked { requests, refreshes, reuses: self.service.reuse_events() }
    }

    fn since(&self, before: Asked) -> Asked {
        let now = self.asked();
        Asked { requests: now.requests - before.requests, refreshes: now.refreshes - before.refreshes, ..now }
    }

    fn expire(&self) -> Asked {
        self.sandbox.age("earthscope", TimeDelta::days(2));
        self.asked()
    }

    /// Runs `processes` concurrent `broker` processes. If there are fewer `commands`, they repeat.
    fn run(&self, processes: usize, commands: &[&[&str]]) -> Vec<Run> {
        let in_turn = commands.iter().cycle().take(processes);
        let all: Vec<_> = in_turn.map(|words| self.sandbox.start(words)).collect();
        all.into_iter().map(finish).collect()
    }

    /// Makes the token expire, starts many processes, and checks that only one process renews the token.
    #[track_caller]
    fn renews_once(&self) {
        let before = self.expire();
        let token = same(self.run(PROCESSES, &[TOKEN]));
        assert!(self.service.access_is_live(&token));
        assert_eq!(self.since(before), Asked { requests: 1, refreshes: 1, reuses: 0 });
    }

    /// Starts many processes with an expired token. The service responds only when all but one wait for the lock.
    fn all_wait_for_one(&self) -> (Vec<Run>, Asked) {
        let before = self.expire();
        let no_response = self.door.lock().expect("the door");
        let (mut stderr, all) = start_with_one_stderr(&self.sandbox, TOKEN, PROCESSES);
        read_until(&mut stderr, "waiting for process", PROCESSES - 1);
        drop(no_response);
        let runs = all.into_iter().map(finish).collect();
        (runs, self.since(before))
    }
}

/// Starts many `broker` processes that share one pipe as stderr.
pub(crate) fn start_with_one_stderr(
    sandbox: &Sandbox,
    words: &[&str],
    times: usize,
) -> (PipeReader, Vec<Started>) {
    let (reader, stderr) = std::io::pipe().expect("a pipe");
    let start = |_| {
        let stderr = stderr.try_clone().expect("a copy of the pipe");
        let mut command = sandbox.command(words);
        started(command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the broker runs"), words)
    };
    (reader, (0..times).map(start).collect())
}

/// Checks that all runs printed the same token, and returns the token.
#[track_caller]
pub(crate) fn same(runs: Vec<Run>) -> String {
    let mut tokens: Vec<_> = runs.into_iter().map(Run::token).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "the processes printed different tokens");
    tokens.remove(0)
}

/// Reads stderr until the text `words` has appeared `times` times.
pub(crate) fn read_until(stderr: &mut PipeReader, words: &str, times: usize) {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while text.matches(words).count() < times {
        let read = stderr.read(&mut piece).expect("stderr");
        assert!(read > 0, "`{words}` does not appear {times} times: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
}

/// Returns the number of rounds to run: all if `BROKER_E2E_FULL` is set (as in CI), else a few.
fn rounds(all: usize) -> usize {
    if std::env::var_os("BROKER_E2E_FULL").is_some() { all } else { all.div_ceil(8).max(5) }
}

#[test]
fn one_of_64_processes_renews_an_expired_token() {
    let crowd = Crowd::new();
    for _ in 0..rounds(200) {
        crowd.renews_once();
    }
}

#[test]
fn slow_token_response_is_not_requested_twice() {
    let crowd = Crowd::new();
    for round in 0..rounds(20) {
        crowd.service.fault("token", Fault::Delay(Duration::from_millis([100, 200, 300][round % 3])));
        crowd.renews_once();
    }
}

#[test]
fn processes_that_wait_for_the_lock_share_token_or_failure() {
    let crowd = Crowd::new();
    let (runs, asked) = crowd.all_wait_for_one();
    let token = same(runs);
    assert!(crowd.service.access_is_live(&token));
    assert_eq!(asked, Asked { requests: 1, refreshes: 1, reuses: 0 });
    crowd.service.fault("token", Fault::Status(503));
    let (runs, asked) = crowd.all_wait_for_one();
    for run in runs {
        assert_eq!((run.code, run.out.as_str()), (4, ""), "a waiting process did not fail");
    }
    assert_eq!(asked, Asked { requests: 1, refreshes: 0, reuses: 0 });
    crowd.renews_once();
}

#[test]
fn failed_renewal_does_not_prevent_the_next_renewal() {
    let crowd = Crowd::new();
    for fault in [Fault::Status(503), Fault::Garbage, Fault::Html(200)].iter().cycle().take(rounds(20)) {
        crowd.service.fault("token", fault.clone());
        let before = crowd.expire();
        let (succeeded, failed): (Vec<_>, Vec<_>) =
            crowd.run(PROCESSES, &[TOKEN]).into_iter().partition(|run| run.code == 0);
        assert!(!failed.is_empty(), "{fault:?}: no process failed");
        for run in failed {
            let _ = run.ends(4);
        }
        // After the failed request, only one more request was sent. All successful processes share its token.
        let again = usize::from(!succeeded.is_empty());
        let expected = Asked { requests: 1 + again, refreshes: again, reuses: 0 };
        assert_eq!(crowd.since(before), expected, "{fault:?}");
        if again > 0 {
            let _ = same(succeeded);
        }
        crowd.renews_once();
    }
}

#[test]
fn concurrent_token_force_and_status_commands_succeed() {
    const FORCED: usize = 8;
    let crowd = Crowd::new();
    let status = ["status", "earthscope", "--json"];
    let commands: [&[&str]; 4] = [TOKEN, &["token", "earthscope", "--force"], &status, TOKEN];
    for round in 0..rounds(20) {
        let before = if round % 2 == 0 { crowd.expire() } else { crowd.asked() };
        for (run, words) in crowd.run(4 * FORCED, &commands).into_iter().zip(commands.iter().cycle()) {
            if words[0] == "token" {
                assert!(crowd.service.access_is_live(&run.token()), "{words:?}");
                continue;
            }
            let status = &run.json()["providers"][0];
            assert_eq!(status["grant"], true, "{status}");
            let note = status["note"].as_str().unwrap_or("a renewal started");
            assert!(note.starts_with("a renewal started"), "{status}");
            assert!(["valid", "expired"].contains(&status["state"].as_str().expect("a state")), "{status}");
        }
        let asked = crowd.since(before);
        // Each `token --force` process may send one refresh request. All other processes together send at most one.
        assert!((1..=FORCED + 1).contains(&asked.refreshes), "{asked:?}");
        assert_eq!((asked.requests, asked.reuses), (asked.refreshes, 0));
    }
}
