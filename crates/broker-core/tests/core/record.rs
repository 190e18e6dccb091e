//! The record under any order of operations by any number of processes: what always holds, after each step.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::{
    Broker, Clock, Context, Entry, FileStore, Loaded, Login, Result, Store, Token, TokenRequest,
};
use broker_testkit::{TestClock, TestEnv, TestPrompt};
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use tokio::runtime::Runtime;

#[path = "record/service.rs"]
mod service;

use service::{Fault, ISSUERS, Subject, Wire};

const NAME: &str = "subject";

/// A call of one actor.
#[derive(Debug, Clone, Copy)]
enum Call {
    Token { scope: usize, force: bool },
    Login,
    Logout { local: bool },
}

/// What happens next. Actors are counted modulo how many there are.
#[derive(Debug, Clone)]
enum Step {
    /// Calls at the same time, and what goes wrong with the first request among them.
    Calls(Vec<(usize, Call)>, Option<Fault>),
    /// A call whose caller goes away after so many turns.
    Dropped(usize, Call, u8, Option<Fault>),
    /// The process of an actor ends within a request.
    Dies(usize, Call, Fault),
    /// The clock moves by minutes.
    Clock(i64),
    /// An actor's configuration names this issuer from now on.
    Configured(usize, usize),
    /// A newer version of the broker, or a person, puts in a field that this one does not know.
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

/// The same cases in every run, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` asks for others.
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
    fn any_order_of_operations_by_any_number_of_actors_keeps_its_invariants(
        actors in 2..5_usize,
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let mut machine = Machine::new(actors);
        machine.run(&Step::Calls(vec![(0, Call::Login)], None))?;
        for step in &steps {
            machine.run(step)?;
        }
    }
}

/// A process: its view of the record, and its configuration.
struct Actor {
    broker: Broker,
    issuer: usize,
}

/// What one issuer gave, as the file has it.
struct Held {
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
    actors: Vec<Actor>,
    /// The number of the newest grant of each issuer that was on the disk.
    newest: [u64; 2],
    /// The foreign field that each issuer's part of the record should have.
    foreign: [Option<u64>; 2],
    _root: tempfile::TempDir,
}

impl Machine {
    fn new(actors: usize) -> Self {
        // In memory where the machine has such: each save is synced.
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let folder = root.path().join("state");
        let (clock, wire) = (TestClock::new(), Wire::new(folder.clone()));
        let (newest, foreign) = ([0; 2], [None; 2]);
        let mut machine = Self {
            runtime: runtime(),
            folder,
            clock,
            wire,
            actors: Vec::new(),
            newest,
            foreign,
            _root: root,
        };
        machine.actors = (0..actors).map(|_| machine.actor(0)).collect();
        machine
    }

    /// A process that has just begun.
    fn actor(&self, issuer: usize) -> Actor {
        let http = Arc::new(self.wire.clone());
        let person = Arc::new(TestPrompt::default());
        let context = Context::new(http, Arc::new(self.clock.clone()), Arc::new(TestEnv::default()), person);
        let catalog = BTreeMap::from([(NAME.to_owned(), Entry::new(Arc::new(Subject::new(issuer))))]);
        let broker = Broker::builder(catalog, Arc::new(FileStore::new(&self.folder)), context).build();
        Actor { broker, issuer }
    }

    fn run(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let before = self.held()?;
        let mut calls = Vec::new();
        self.wire.service().begin(None);
        match step {
            Step::Calls(together, fault) => {
                calls.extend(together.iter().map(|(who, call)| (who % self.actors.len(), *call)));
                self.wire.service().begin(*fault);
                self.together(&calls);
            }
            Step::Dropped(who, call, turns, fault) => {
                calls.push((who % self.actors.len(), *call));
                self.wire.service().begin(*fault);
                self.dropped(calls[0], *turns);
            }
            Step::Dies(who, call, end) => {
                calls.push((who % self.actors.len(), *call));
                self.wire.service().begin(Some(*end));
                self.dies(calls[0]);
            }
            Step::Clock(minutes) => self.clock.advance(TimeDelta::minutes(*minutes)),
            Step::Configured(who, issuer) => {
                let who = who % self.actors.len();
                self.actors[who] = self.actor(*issuer);
            }
            Step::Edited(number) => self.edit(*number),
        }
        self.bring_folder_back();
        self.check(&before, &calls)
    }

    /// Calls at the same time; but one after the other with a logout, since nobody could say what was on the disk
    /// when, and with a folder that goes, since another call would make it anew.
    fn together(&self, calls: &[(usize, Call)]) {
        let logout = calls.iter().any(|(_, call)| matches!(call, Call::Logout { .. }));
        let alone = logout || self.wire.service().fault == Some(Fault::NoFolder);
        self.runtime.block_on(async {
            let mut running = Vec::new();
            for (who, call) in calls {
                let work = tokio::spawn(self.call(*who, *call));
                if alone {
                    work.await.unwrap();
                    self.bring_folder_back();
                } else {
                    running.push(work);
                }
            }
            for work in running {
                work.await.unwrap();
            }
            self.settle().await;
        });
    }

    fn dropped(&self, (who, call): (usize, Call), turns: u8) {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.call(who, call) => {}
                () = turn(turns) => {}
            }
            self.settle().await;
        });
    }

    /// The runtime goes with all its tasks where they stand, as a process does that is killed.
    fn dies(&mut self, (who, call): (usize, Call)) {
        let dies = self.wire.dies.clone();
        self.runtime.block_on(async {
            tokio::select! {
                () = self.call(who, call) => {}
                () = dies.notified() => {}
            }
        });
        self.runtime = runtime();
        self.actors[who] = self.actor(self.actors[who].issuer);
    }

    /// A call; what it hands out is looked at at once.
    fn call(&self, who: usize, call: Call) -> impl Future<Output = ()> + Send + 'static {
        let Actor { broker, issuer } = &self.actors[who];
        let (broker, issuer, wire, clock) = (broker.clone(), *issuer, self.wire.clone(), self.clock.clone());
        async move {
            let given = given(&broker, call).await;
            wire.service().look_at_disk();
            match given {
                Ok(Some(token)) => wire.service().check_given(&token, issuer, clock.now()),
                Err(error) if error.message().contains("broke off") => {
                    wire.service().wrong.push("an operation panicked".to_owned());
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn settle(&self) {
        for actor in &self.actors {
            actor.broker.wait_idle().await;
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

    fn bring_folder_back(&self) {
        let away = self.folder.with_extension("away");
        if !away.exists() {
            return;
        }
        // Whoever made it anew may have saved something there.
        if self.folder.exists() {
            for file in std::fs::read_dir(&self.folder).unwrap().flatten() {
                std::fs::rename(file.path(), away.join(file.file_name())).unwrap();
            }
            std::fs::remove_dir(&self.folder).unwrap();
        }
        std::fs::rename(&away, &self.folder).unwrap();
    }

    /// The file as it is: whole, ours alone, and of a version that this one reads.
    fn held(&self) -> Result<Vec<Held>, TestCaseError> {
        let path = self.record_path();
        let Ok(bytes) = std::fs::read(&path) else { return Ok(Vec::new()) };
        prop_assert_eq!(mode(&path), 0o600);
        let loaded = FileStore::new(&self.folder).peek(NAME).unwrap();
        prop_assert!(matches!(loaded, Loaded::Record(_)), "{loaded:?}");
        let record: Value = serde_json::from_slice(&bytes).unwrap();
        let parked = record["parked"].as_array().cloned().unwrap_or_default();
        Ok(std::iter::once(&record).chain(&parked).map(Held::read).collect())
    }

    fn check(&mut self, before: &[Held], calls: &[(usize, Call)]) -> Result<(), TestCaseError> {
        let after = self.held()?;
        prop_assert!(self.wire.service().wrong.is_empty(), "{:?}", self.wire.service().wrong);
        for held in &after {
            self.check_grant(held)?;
        }
        if calls.iter().any(|(_, call)| matches!(call, Call::Logout { .. })) {
            // What another issuer gave goes with it; if the service could not be asked, all stays.
            for issuer in 0..2 {
                self.foreign[issuer] =
                    after.iter().find(|held| held.issuer == issuer).and_then(|held| held.foreign);
            }
            return Ok(());
        }
        for was in before.iter().filter(|was| was.grant.is_some()) {
            let is = after.iter().find(|held| held.issuer == was.issuer);
            prop_assert!(
                is.is_some_and(|held| held.grant.is_some()),
                "what issuer {} gave is gone",
                was.issuer
            );
        }
        for held in &after {
            let expected = self.foreign[held.issuer];
            let begun = calls
                .iter()
                .any(|(who, call)| matches!(call, Call::Login) && self.actors[*who].issuer == held.issuer);
            if begun && held.foreign.is_none() {
                self.foreign[held.issuer] = None;
            } else {
                prop_assert_eq!(held.foreign, expected, "a field that this version does not know");
            }
        }
        Ok(())
    }

    /// A grant in the file is the service's good one, unless an answer was lost; and no older one comes back.
    fn check_grant(&mut self, held: &Held) -> Result<(), TestCaseError> {
        let Some(grant) = &held.grant else { return Ok(()) };
        let known = self.wire.service().known(grant);
        let Some(known) = known else { return Err(TestCaseError::fail(format!("{grant} is no grant"))) };
        prop_assert_eq!(known.issuer, held.issuer, "{} is of another issuer", grant);
        prop_assert!(known.current || known.excused, "{grant} on the disk is spent");
        prop_assert!(held.refused || !known.over || known.excused, "{grant} on the disk is over");
        prop_assert!(!held.refused || known.over, "{grant} is called refused and is good");
        let newest = &mut self.newest[held.issuer];
        prop_assert!(known.number >= *newest, "{grant} is older than {newest}, which was there before");
        *newest = known.number;
        Ok(())
    }
}

impl Held {
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

async fn given(broker: &Broker, call: Call) -> Result<Option<Token>> {
    match call {
        Call::Token { scope, force } => {
            let request = ["", "a", "b a"][scope].split(' ').fold(TokenRequest::new(), TokenRequest::scope);
            broker.token(NAME, &if force { request.force() } else { request }).await.map(Some)
        }
        Call::Login => broker.login(NAME, Login::Usual).await.map(|given| given.token),
        Call::Logout { local } => broker.logout(NAME, local).await.map(|_| None),
    }
}

fn issuer_of(value: &Value) -> usize {
    ISSUERS.iter().position(|url| value["issuer"]["endpoint"] == **url).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// Lets the others have so many turns.
async fn turn(times: u8) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}
