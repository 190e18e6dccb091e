//! Crowds: many processes at once on an expired token, at a service that ends a login whose refresh token comes
//! twice. However they meet, it is asked once.

use std::io::{PipeReader, Read};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_e2e::{Run, Sandbox, Started, finish, started};
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation};
use chrono::{TimeDelta, Utc};

const PROCESSES: usize = 64;
const TOKEN: &[&str] = &["token", "earthscope"];

struct Crowd {
    service: EarthScope,
    sandbox: Sandbox,
    /// The service gives no answer while this is locked.
    door: Arc<Mutex<()>>,
}

/// How many exchanges were asked for, how many succeeded, how many were reuse.
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
        let service =
            EarthScope::start(EarthScopeOptions { rotation, interval: Some(1), now, ..Default::default() });
        let config = format!("[providers.earthscope]\ndomain = \"{}\"\n", service.url());
        let sandbox = Sandbox::new().with_config(&config);
        service.approve_all();
        let _ = sandbox.broker(&["login", "earthscope"]).ends(0);
        Self { service, sandbox, door }
    }

    fn asked(&self) -> Asked {
        let (requests, refreshes) = (self.service.count("token"), self.service.refreshes());
        Asked { requests, refreshes, reuses: self.service.reuse_events() }
    }

    /// What was asked since.
    fn since(&self, before: Asked) -> Asked {
        let now = self.asked();
        Asked { requests: now.requests - before.requests, refreshes: now.refreshes - before.refreshes, ..now }
    }

    fn expire(&self) -> Asked {
        self.sandbox.age("earthscope", TimeDelta::days(2));
        self.asked()
    }

    /// So many processes at once, with these commands in turn.
    fn run(&self, processes: usize, commands: &[&[&str]]) -> Vec<Run> {
        let in_turn = commands.iter().cycle().take(processes);
        let all: Vec<_> = in_turn.map(|words| self.sandbox.start(words)).collect();
        all.into_iter().map(finish).collect()
    }

    /// An expiry after which all is well.
    #[track_caller]
    fn renews_once(&self) {
        let before = self.expire();
        let token = same(self.run(PROCESSES, &[TOKEN]));
        assert!(self.service.access_is_live(&token));
        assert_eq!(self.since(before), Asked { requests: 1, refreshes: 1, reuses: 0 });
    }

    /// An expiry where the answer comes when all but the one who asked are known to wait.
    fn all_wait_for_one(&self) -> (Vec<Run>, Asked) {
        let before = self.expire();
        let answered_later = self.door.lock().expect("the door");
        let (mut told, all) = start_with_one_stderr(&self.sandbox, TOKEN, PROCESSES);
        read_until(&mut told, "waiting for process", PROCESSES - 1);
        drop(answered_later);
        let runs = all.into_iter().map(finish).collect();
        (runs, self.since(before))
    }
}

/// Starts `broker` so often; all of them tell people through one pipe.
pub(crate) fn start_with_one_stderr(
    sandbox: &Sandbox,
    words: &[&str],
    times: usize,
) -> (PipeReader, Vec<Started>) {
    let (told, stderr) = std::io::pipe().expect("a pipe");
    let start = |_| {
        let stderr = stderr.try_clone().expect("its other end");
        let mut command = sandbox.command(words);
        started(command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("the broker runs"), words)
    };
    (told, (0..times).map(start).collect())
}

/// The one token that all printed.
#[track_caller]
pub(crate) fn same(runs: Vec<Run>) -> String {
    let mut tokens: Vec<_> = runs.into_iter().map(Run::token).collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "all have the same token");
    tokens.remove(0)
}

/// Reads until it was said so often.
pub(crate) fn read_until(told: &mut PipeReader, words: &str, times: usize) {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while text.matches(words).count() < times {
        let read = told.read(&mut piece).expect("stderr");
        assert!(read > 0, "`{words}` was not said {times} times, but: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
}

/// All rounds where time does not matter, else a part of them, as many as show what is wrong.
fn rounds(all: usize) -> usize {
    if std::env::var_os("BROKER_E2E_FULL").is_some() { all } else { all.div_ceil(8).max(5) }
}

#[test]
fn at_every_expiry_one_of_64_processes_asks() {
    let crowd = Crowd::new();
    for _ in 0..rounds(200) {
        crowd.renews_once();
    }
}

#[test]
fn slow_answers_are_waited_for_and_not_asked_for_twice() {
    let crowd = Crowd::new();
    for round in 0..rounds(20) {
        crowd.service.fault("token", Fault::Delay(Duration::from_millis([100, 200, 300][round % 3])));
        crowd.renews_once();
    }
}

#[test]
fn who_waits_for_an_answer_gets_what_comes_of_it() {
    let crowd = Crowd::new();
    let (runs, asked) = crowd.all_wait_for_one();
    let token = same(runs);
    assert!(crowd.service.access_is_live(&token));
    assert_eq!(asked, Asked { requests: 1, refreshes: 1, reuses: 0 });
    crowd.service.fault("token", Fault::Status(503));
    let (runs, asked) = crowd.all_wait_for_one();
    for run in runs {
        assert_eq!((run.code, run.out.as_str()), (4, ""), "the failure of the one is everybody's");
    }
    assert_eq!(asked, Asked { requests: 1, refreshes: 0, reuses: 0 });
    crowd.renews_once();
}

#[test]
fn errors_in_between_are_transient_for_all_and_the_next_expiry_is_well() {
    let crowd = Crowd::new();
    for fault in [Fault::Status(503), Fault::Garbage, Fault::Html(200)].iter().cycle().take(rounds(20)) {
        crowd.service.fault("token", fault.clone());
        let before = crowd.expire();
        let (well, failed): (Vec<_>, Vec<_>) =
            crowd.run(PROCESSES, &[TOKEN]).into_iter().partition(|run| run.code == 0);
        assert!(!failed.is_empty(), "{fault:?}: at least the one who asked");
        for run in failed {
            let _ = run.ends(4);
        }
        // Whoever came after the failure asked once more, and for all of them.
        let again = usize::from(!well.is_empty());
        assert_eq!(
            crowd.since(before),
            Asked { requests: 1 + again, refreshes: again, reuses: 0 },
            "{fault:?}"
        );
        if again > 0 {
            let _ = same(well);
        }
        crowd.renews_once();
    }
}

#[test]
fn a_crowd_of_all_commands_is_served() {
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
            let note = status["note"].as_str().unwrap_or("a renewal is under way");
            assert!(note.starts_with("a renewal is under way"), "{status}");
            assert!(["valid", "expired"].contains(&status["state"].as_str().expect("a state")), "{status}");
        }
        let asked = crowd.since(before);
        // Each who forces may ask, and one for the others.
        assert!((1..=FORCED + 1).contains(&asked.refreshes), "{asked:?}");
        assert_eq!((asked.requests, asked.reuses), (asked.refreshes, 0));
    }
}
