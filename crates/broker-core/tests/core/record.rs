//! Property tests (proptest): random operations of several processes never violate the invariants of the record.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use broker_core::{
    Broker, Clock, Context, ErrorCode, FileStore, Loaded, Login, Result, Store, Token, TokenRequest,
};
use broker_testkit::{TestClock, TestEnv, TestPrompt};
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use tokio::runtime::Runtime;

mod service;

use crate::builder;
use service::{Fault, ISSUERS, Subject, Wire};

const NAME: &str = "subject";

/// A call of the broker by a simulated process.
#[derive(Debug, Clone, Copy)]
enum Call {
    Token { scope: usize, force: bool },
    Login,
    Logout { local: bool },
}

/// One random step. A process's number is taken modulo the number of processes.
#[derive(Debug, Clone)]
enum Step {
    /// Concurrent calls, and a fault of the first request to the service.
    Calls(Vec<(usize, Call)>, Option<Fault>),
    /// A call that the test cancels after yielding to the runtime this number of times (third field).
    Dropped(usize, Call, u8, Option<Fault>),
    /// The process is killed during a request to the service, at the moment that the fault names.
    Dies(usize, Call, Fault),
    /// The clock moves by this number of minutes. A negative number moves the clock back.
    Clock(i64),
    /// The configuration of a process (first number) changes to another issuer (second number).
    Configured(usize, usize),
    /// The test adds an unknown field with this value to the record file.
    Edited(u64),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        12 => (0..3_usize, any::<bool>()).prop_map(|(scope, force)| Call::Token { scope, force }),
        2 => Just(Call::Login),
        1 => any::<bool>().prop_map(|local| Call::Logout { local }),
    ]
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    use Fault::{Busy, Denied, Ended, Lost, NoFolder, NotRotated, OnlyRotated, Torn, Unreached};
    const FAULTS: &[Fault] = &[Unreached, Busy, Lost, Torn, Ended, Denied, OnlyRotated, NotRotated, NoFolder];
    prop_oneof![3 => Just(None), 2 => proptest::sample::select(FAULTS).prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    let calls = proptest::collection::vec((0..4_usize, call()), 1..4);
    let end = proptest::sample::select(&[Fault::DiesBefore, Fault::DiesAfter]);
    prop_oneof![
        8 => (calls, fault()).prop_map(|(calls, fault)| Step::Calls(calls, fault)),
        2 => (0..4_usize, call(), 0..12_u8, fault()).prop_map(|(who, call, turns, fault)| Step::Dropped(who, call, turns, fault)),
        2 => (0..4_usize, call(), end).prop_map(|(who, call, end)| Step::Dies(who, call, end)),
        4 => proptest::sample::select(&[1_i64, 10, 46, 59, 130, -30, -300]).prop_map(Step::Clock),
        1 => (0..4_usize, 0..2_usize).prop_map(|(who, issuer)| Step::Configured(who, issuer)),
        1 => any::<u64>().prop_map(Step::Edited),
    ]
}

/// Runs the same cases every time, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` is set.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(0x0b70_c3e5);
    }
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 150;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_operations_never_violate_record_invariants(
        processes in 2..5_usize,
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut machine = Machine::new(processes);
        machine.run(&Step::Calls(vec![(0, Call::Login)], None))?;
        for step in &steps {
            machine.run(step)?;
        }
    }
}

/// A simulated process: a broker and the issuer that its configuration names.
struct Process {
    broker: Broker,
    issuer: usize,
}

/// The part of the record file that belongs to one issuer.
struct IssuerPart {
    issuer: usize,
    grant: Option<String>,
    refused: bool,
    foreign: Option<u64>,
}

struct Machine {
    runtime: Runtime,
    folder: PathBuf,
    clock: TestClock,
    wire: Wire,
    processes: Vec<Process>,
    /// For each of the two [`ISSUERS`], the number of the newest refresh token that was in the record file.
    newest: [u64; 2],
    /// For each of [`ISSUERS`], the value of the record's field `x_foreign`, which the broker does not know but must keep.
    foreign: [Option<u64>; 2],
    _root: tempfile::TempDir,
}

impl Machine {
    fn new(processes: usize) -> Self {
        // The broker syncs each saved file to disk, which is fast in the memory folder `/dev/shm`.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let folder = root.path().join("state");
        let mut machine = Self {
            runtime: runtime(),
            wire: Wire::new(folder.clone()),
            folder,
            clock: TestClock::default(),
            processes: Vec::new(),
            newest: [0; 2],
            foreign: [None; 2],
            _root: root,
        };
        machine.processes = (0..processes).map(|_| machine.process(0)).collect();
        machine
    }

    /// Starts a simulated process.
    fn process(&self, issuer: usize) -> Process {
        let (http, clock) = (Arc::new(self.wire.clone()), Arc::new(self.clock.clone()));
        let context = Context::new(http, clock, Arc::<TestEnv>::default(), Arc::<TestPrompt>::default());
        let store = Arc::new(FileStore::new(&self.folder));
        let broker = builder([(NAME, Arc::new(Subject::new(issuer)))], store, context).build();
        Process { broker, issuer }
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let before = self.stored()?;
        let mut calls = Vec::new();
        self.wire.service().begin(None);
        match step {
            Step::Calls(together, fault) => {
                calls.extend(together.iter().map(|(who, call)| (who % self.processes.len(), *call)));
                self.wire.service().begin(*fault);
                self.together(&calls);
            }
            Step::Dropped(who, call, turns, fault) => {
                calls.push((who % self.processes.len(), *call));
                self.wire.service().begin(*fault);
                self.dropped(calls[0], *turns);
            }
            Step::Dies(who, call, end) => {
                calls.push((who % self.processes.len(), *call));
                self.wire.service().begin(Some(*end));
                self.dies(calls[0]);
            }
            Step::Clock(minutes) => self.clock.advance(TimeDelta::minutes(*minutes)),
            Step::Configured(who, issuer) => {
                let who = who % self.processes.len();
                self.processes[who] = self.process(*issuer);
            }
            Step::Edited(number) => self.edit(*number),
        }
        self.restore_folder();
        self.check(&before, &calls)
    }

    /// Runs the calls concurrently, or one after another if a call is a logout or the fault removes the record folder.
    fn together(&self, calls: &[(usize, Call)]) {
        let logout = calls.iter().any(|(_, call)| matches!(call, Call::Logout { .. }));
        let sequential = logout || self.wire.service().fault == Some(Fault::NoFolder);
        self.runtime.block_on(async {
            let mut running = Vec::new();
            for (who, call) in calls {
                let work = tokio::spawn(self.call(*who, *call));
                if sequential {
                    work.await.unwrap();
                    self.restore_folder();
                } else {
                    running.push(work);
                }
            }
            for work in running {
                work.await.unwrap();
            }
            self.wait_idle().await;
        });
    }

    fn dropped(&self, (who, call): (usize, Call), turns: u8) {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.call(who, call) => {}
                () = turn(turns) => {}
            }
            self.wait_idle().await;
        });
    }

    /// Drops the tokio runtime with all tasks, which has the effect of a killed process.
    fn dies(&mut self, (who, call): (usize, Call)) {
        let dies = self.wire.dies.clone();
        self.runtime.block_on(async {
            tokio::select! {
                () = self.call(who, call) => {}
                () = dies.notified() => {}
            }
        });
        self.runtime = runtime();
        self.processes[who] = self.process(self.processes[who].issuer);
    }

    /// Calls the broker of process `who`, and checks the returned token.
    fn call(&self, who: usize, call: Call) -> impl Future<Output = ()> + Send + 'static {
        let Process { broker, issuer } = &self.processes[who];
        let (broker, issuer, wire, clock) = (broker.clone(), *issuer, self.wire.clone(), self.clock.clone());
        async move {
            let token = token(&broker, call).await;
            wire.service().read_disk();
            match token {
                Ok(Some(token)) => wire.service().check_token(&token, issuer, clock.now()),
                Err(error) if error.code() == ErrorCode::Internal => {
                    wire.service().wrong.push("an operation panicked".to_owned());
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn wait_idle(&self) {
        for process in &self.processes {
            process.broker.wait_idle().await;
        }
        turn(100).await;
    }

    fn record_path(&self) -> PathBuf {
        self.folder.join(format!("{NAME}.json"))
    }

    fn edit(&mut self, number: u64) {
        let path = self.record_path();
        let Ok(text) = std::fs::read_to_string(&path) else { return };
        let mut record: Value = serde_json::from_str(&text).unwrap();
        record["x_foreign"] = number.into();
        self.foreign[issuer_of(&record)] = Some(number);
        std::fs::write(&path, record.to_string()).unwrap();
    }

    fn restore_folder(&self) {
        let away = self.folder.with_extension("away");
        if !away.exists() {
            return;
        }
        // The broker may have created the record folder again after the test renamed it. Moves those records too.
        if self.folder.exists() {
            for file in std::fs::read_dir(&self.folder).unwrap().flatten() {
                std::fs::rename(file.path(), away.join(file.file_name())).unwrap();
            }
            std::fs::remove_dir(&self.folder).unwrap();
        }
        std::fs::rename(&away, &self.folder).unwrap();
    }

    /// Reads the record file, and checks that the file is complete, private and of a known version.
    fn stored(&self) -> Result<Vec<IssuerPart>, TestCaseError> {
        let path = self.record_path();
        let Ok(bytes) = std::fs::read(&path) else { return Ok(Vec::new()) };
        prop_assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let loaded = FileStore::new(&self.folder).read(NAME, true).unwrap();
        prop_assert!(matches!(loaded, Some(Loaded::Record(_))), "{loaded:?}");
        let record: Value = serde_json::from_slice(&bytes).unwrap();
        let others = record["parked"].as_array().cloned().unwrap_or_default();
        Ok(std::iter::once(&record).chain(&others).map(IssuerPart::read).collect())
    }

    fn check(&mut self, before: &[IssuerPart], calls: &[(usize, Call)]) -> Result<(), TestCaseError> {
        let after = self.stored()?;
        prop_assert!(self.wire.service().wrong.is_empty(), "{:?}", self.wire.service().wrong);
        for part in &after {
            self.check_grant(part)?;
        }
        if calls.iter().any(|(_, call)| matches!(call, Call::Logout { .. })) {
            // A logout removes all logins, or none if a service is unreachable. Both results are correct.
            for issuer in 0..2 {
                self.foreign[issuer] =
                    after.iter().find(|part| part.issuer == issuer).and_then(|part| part.foreign);
            }
            return Ok(());
        }
        for old in before.iter().filter(|old| old.grant.is_some()) {
            let new = after.iter().find(|part| part.issuer == old.issuer);
            let has_grant = new.is_some_and(|part| part.grant.is_some());
            prop_assert!(has_grant, "the grant of issuer {} is lost", old.issuer);
        }
        for part in &after {
            let logged_in = calls
                .iter()
                .any(|(who, call)| matches!(call, Call::Login) && self.processes[*who].issuer == part.issuer);
            if logged_in && part.foreign.is_none() {
                self.foreign[part.issuer] = None;
            }
            prop_assert_eq!(part.foreign, self.foreign[part.issuer], "an unknown field");
        }
        Ok(())
    }

    /// Checks that the stored grant is the newest one or, after a lost response, not older than before.
    fn check_grant(&mut self, part: &IssuerPart) -> Result<(), TestCaseError> {
        let Some(grant) = &part.grant else { return Ok(()) };
        let service = self.wire.service();
        let Some((number, index)) = service.find(grant) else {
            return Err(TestCaseError::fail(format!("unknown grant {grant}")));
        };
        let family = &service.families[index];
        prop_assert_eq!(family.issuer, part.issuer, "{} is of another issuer", grant);
        prop_assert!(family.current == *grant || family.excused, "{grant} on disk is spent");
        prop_assert!(part.refused || !family.ended || family.excused, "{grant} on disk has ended");
        prop_assert!(!part.refused || family.ended, "{grant} is marked as refused but is valid");
        let newest = &mut self.newest[part.issuer];
        prop_assert!(number >= *newest, "{grant} is older than the earlier {newest}");
        *newest = number;
        Ok(())
    }
}

impl IssuerPart {
    fn read(value: &Value) -> Self {
        let grant = &value["grant"];
        Self {
            issuer: issuer_of(value),
            grant: grant["secret"].as_str().map(str::to_owned),
            refused: grant["refused_at"].is_string(),
            foreign: value["x_foreign"].as_u64(),
        }
    }
}

async fn token(broker: &Broker, call: Call) -> Result<Option<Token>> {
    match call {
        Call::Token { scope, force } => {
            let request = ["", "a", "b a"][scope].split(' ').fold(TokenRequest::new(), TokenRequest::scope);
            broker.token(NAME, &if force { request.force() } else { request }).await.map(Some)
        }
        Call::Login => broker.login(NAME, Login::Usual).await.map(|login| login.token),
        Call::Logout { local: false } => broker.logout(NAME).await.map(|_| None),
        Call::Logout { local: true } => broker.provider(NAME)?.logout_locally().await.map(|_| None),
    }
}

fn issuer_of(value: &Value) -> usize {
    ISSUERS.iter().position(|url| value["issuer"]["endpoint"] == **url).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

async fn turn(times: u8) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
