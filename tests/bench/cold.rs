//! Measures how long many concurrent callers wait for a token that is not stored, compared with one caller. The callers
//! are 1,000 tasks of one process, or 64 processes. `tests/bench/run` calls `cold BROKER [ROUNDS]`, which prints JSON.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a benchmark panics at once, and prints to stdout"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use broker_testkit::{EarthDaily, EarthDailyOptions, Fault};
use earthbroker::{Broker, Setup, TokenRequest};
use serde_json::{Value, json};
use tempfile::TempDir;

const TASKS: usize = 1000;
const PROCESSES: usize = 64;
/// How long the fake server takes for each response.
const SERVICE: Duration = Duration::from_millis(100);

fn main() {
    let mut words = std::env::args().skip(1);
    let binary = PathBuf::from(words.next().expect("the path of `broker`"));
    let rounds = words.next().map_or(15, |rounds| rounds.parse().expect("the number of rounds"));
    let stage = Stage::new(binary);
    // The measurements of tasks and processes alternate, because other load on the machine should affect all alike.
    let mut taken = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        taken[0].push(stage.tasks(1));
        taken[1].push(stage.tasks(TASKS));
        taken[2].push(stage.processes(1));
        taken[3].push(stage.processes(PROCESSES));
    }
    let [task, tasks, process, processes] = taken;
    println!(
        "{}",
        json!({
            "service_ms": SERVICE.as_millis(),
            "one task": task, "tasks": tasks, "tasks at once": TASKS,
            "one process": process, "processes": processes, "processes at once": PROCESSES,
        })
    );
}

/// A fake server, a configuration for it, and a folder for records.
struct Stage {
    service: EarthDaily,
    folder: TempDir,
    binary: PathBuf,
}

impl Stage {
    fn new(binary: PathBuf) -> Self {
        let service = EarthDaily::start(EarthDailyOptions::default());
        service.fault_always("token", Fault::Delay(SERVICE));
        let folder = tempfile::tempdir().expect("a folder");
        let (url, secret) = (service.auth_url(), folder.path().join("secret"));
        std::fs::write(&secret, EarthDaily::SECRET).expect("a secret");
        let secret = secret.display();
        let config = format!(
            "[providers.earthdaily]\nauth_url = \"{url}\"\nclient_secret = {{ file = \"{secret}\" }}\n"
        );
        std::fs::write(folder.path().join("providers.toml"), config).expect("a configuration");
        Self { service, folder, binary }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("providers.toml")
    }

    /// Measures the time from the first call to the last token, for concurrent tasks of one process.
    fn tasks(&self, many: usize) -> Value {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        self.cold(|state| {
            let broker = Setup::new().config_file(self.config()).state_dir(state).open().expect("a broker");
            runtime.block_on(async {
                let requests: Vec<_> = (0..many).map(|_| tokio::spawn(request(broker.clone()))).collect();
                for request in requests {
                    request.await.expect("a task");
                }
            });
        })
    }

    /// Measures the time from the start of the first process to the exit of the last, for concurrent processes.
    fn processes(&self, many: usize) -> Value {
        self.cold(|state| {
            let all: Vec<_> = (0..many).map(|_| self.start(state)).collect();
            for mut child in all {
                assert!(child.wait().expect("broker ends").success(), "a process without a token");
            }
        })
    }

    fn start(&self, state: &Path) -> Child {
        let mut command = Command::new(&self.binary);
        command.args(["token", "earthdaily"]).env_clear().env("HOME", self.folder.path());
        command.env("BROKER_CONFIG", self.config()).env("BROKER_STATE_DIR", state);
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the broker runs")
    }

    /// Calls `run` with an empty folder for records. Returns the time and the number of token exchanges.
    fn cold(&self, run: impl FnOnce(&Path)) -> Value {
        let state = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let before = self.service.exchanges();
        let began = Instant::now();
        run(state.path());
        let took = began.elapsed();
        json!({ "ms": took.as_secs_f64() * 1e3, "exchanges": self.service.exchanges() - before })
    }
}

async fn request(broker: Broker) {
    let _ = broker.token("earthdaily", &TokenRequest::new()).await.expect("a token");
}
