//! Tests the tables in docs/dev/renewal.md: what callers get, by the stored token's phase and the service's response,
//! and after an interrupted renewal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Clock, Error, ErrorKind, Login, LoginMethod, Operation, Provider, ProviderInfo, Record,
    RecordUpdate, Result, ScopeKey, Secret, Token, TokenRequest,
};
use broker_testkit::{TestClock, World};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::broker::{issue, token};
use crate::info;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dev/renewal.md");

const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// The names of the service's responses in the table of docs/dev/renewal.md.
const RESPONSES: [&str; 5] =
    ["a new token", "an expired token", "no response", "a refusal", "`invalid_grant`"];

/// The phases of the stored token, and the minutes and seconds after its issue at which callers request a token.
const PHASES: [(&str, (i64, i64)); 5] = [
    ("valid", (30, 0)),
    ("advisory", (50, 0)),
    ("blocking", (59, 30)),
    ("expired", (90, 0)),
    ("no token", (0, 0)),
];

/// A service that returns the response of one row of the table in docs/dev/renewal.md.
struct Service {
    info: ProviderInfo,
    clock: TestClock,
    response: Mutex<&'static str>,
    requests: AtomicUsize,
    /// Notified when a request has arrived.
    arrived: Notify,
    /// Notified by the test to release the service's response.
    respond: Notify,
}

#[async_trait]
impl Provider for Service {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if record.usable_grant().is_none() {
            return Err(Error::login_required("the login has expired"));
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_one();
        self.respond.notified().await;
        // A response must have a later time than its request, so the clock moves.
        self.clock.advance(TimeDelta::milliseconds(1));
        let response = *self.response.lock().expect("a response");
        match response {
            "a new token" => Ok(issue(operation, request, "new", LIFETIME)),
            "an expired token" => Ok(issue(operation, request, "new", TimeDelta::seconds(-1))),
            "no response" => Err(Error::unavailable("no response")),
            "a refusal" => Err(Error::refused("refused")),
            _ => Ok(RecordUpdate::grant_refused()),
        }
    }

    async fn login(&self, operation: &Operation, _login: &Login) -> Result<RecordUpdate> {
        let update = RecordUpdate::grant(Secret::new("grant"), operation.now());
        if *self.response.lock().expect("a response") == "no token" {
            return Ok(update);
        }
        Ok(update.and_token(&ScopeKey::default(), token(operation, "old", LIFETIME)))
    }
}

/// The broker and the service for one row of the table in docs/dev/renewal.md.
struct Scene {
    world: World,
    service: Arc<Service>,
    noon: DateTime<Utc>,
}

impl Scene {
    async fn new(phase: &'static str, at: (i64, i64), response: &'static str) -> Self {
        let world = World::new();
        let service = Arc::new(Service {
            info: info(&[LoginMethod::Interactive]),
            clock: world.clock.clone(),
            response: Mutex::new(phase),
            requests: AtomicUsize::new(0),
            arrived: Notify::new(),
            respond: Notify::new(),
        });
        let noon = world.clock.now();
        let scene = Self { world, service, noon };
        scene.broker().login(World::NAME, Login::Usual).await.expect("a login");
        scene.world.clock.advance(TimeDelta::minutes(at.0) + TimeDelta::seconds(at.1));
        *scene.service.response.lock().expect("a response") = response;
        scene
    }

    fn broker(&self) -> Broker {
        self.world.broker(self.service.clone())
    }

    fn requests(&self) -> usize {
        self.service.requests.swap(0, Ordering::SeqCst)
    }

    fn stored(&self) -> String {
        let record = self.world.record().expect("a record");
        let mut all = Vec::new();
        all.extend(record["tokens"][""]["secret"].as_str().map(str::to_owned));
        if record["grant"]["refused_at"].is_string() {
            all.push("login refused".to_owned());
        } else if record["grant"]["sent_at"].is_string() {
            all.push("renewal started".to_owned());
        }
        if record["failures"][""].is_object() {
            all.push("failure".to_owned());
        }
        if all.is_empty() { "nothing new".to_owned() } else { all.join(", ") }
    }

    /// Returns the earliest time at which a new process would send a request to the service.
    async fn next_request(&self) -> String {
        let now = self.world.clock.now();
        let file = std::fs::read(self.world.record_path()).expect("a record");
        if self.would_request(&file).await {
            return "the next call".to_owned();
        }
        let mut failed = 0;
        for second in (0..10_800).step_by(15) {
            // Each response has moved the clock by 1 ms. The added 10 ms keep `at` after the current time.
            let at = self.noon + TimeDelta::seconds(second) + TimeDelta::milliseconds(10);
            if at < now {
                continue;
            }
            self.world.clock.advance(at - self.world.clock.now());
            // A call at this time sends no request if a usable token is stored.
            if self.broker().stored(World::NAME, &TokenRequest::new()).expect("a record").is_some() {
                continue;
            }
            if self.would_request(&file).await {
                return format!("{:02}:{:02}:{:02}", 12 + second / 3600, second / 60 % 60, second % 60);
            }
            failed += 1;
            if failed == 8 {
                break;
            }
        }
        "after a login".to_owned()
    }

    async fn would_request(&self, file: &[u8]) -> bool {
        self.service.respond.notify_one();
        drop(self.broker().token(World::NAME, &TokenRequest::new()).await);
        // The call may have changed the record, so the test writes the old record back.
        std::fs::write(self.world.record_path(), file).expect("a record");
        // If the call sent no request, removes the unused notification, which would release a later response.
        drop(tokio::time::timeout(Duration::ZERO, self.service.respond.notified()).await);
        self.requests() > 0
    }
}

fn describe(got: &Result<Token>) -> String {
    match got {
        Ok(token) => format!("the {} token", token.secret().expose()),
        Err(error) => match error.kind() {
            ErrorKind::LoginRequired => "exit 3",
            ErrorKind::Unavailable => "exit 4",
            ErrorKind::Refused => "exit 6",
            _ => "exit 1",
        }
        .to_owned(),
    }
}

/// Lets two callers request a token at the same time. Returns their results as cells of the table in
/// docs/dev/renewal.md.
async fn play(phase: &'static str, at: (i64, i64), response: &'static str) -> String {
    let scene = Scene::new(phase, at, response).await;
    let broker = scene.broker();
    let call = || {
        let broker = broker.clone();
        tokio::spawn(async move { broker.token(World::NAME, &TokenRequest::new()).await })
    };
    let first = call();
    let requests = tokio::select! {
        () = scene.service.arrived.notified() => true,
        () = until(|| first.is_finished()) => false,
    };
    let second = call();
    // All tasks run on this thread, so 100 yields suffice for the second call to end, or to wait for the first.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let how = if second.is_finished() { "at once" } else { "waits" };
    scene.service.respond.notify_one();
    let (first, second) = (end(first).await, end(second).await);
    assert_eq!(requests, phase != "valid", "{phase}, {response}: a valid token needs no request");
    assert_eq!(scene.requests(), usize::from(requests), "{phase}, {response}: the second caller sends none");
    let stored = scene.stored();
    let warning = if scene.world.person.told().is_empty() { "" } else { ", with a warning" };
    let next = scene.next_request().await;
    format!("{}{warning} | {}, {how} | {stored} | {next}", describe(&first), describe(&second))
}

/// Returns a row of the table of interrupted renewals in docs/dev/renewal.md: what a call gets right after a kill, and
/// when a call sends the next request.
async fn play_interrupted(phase: &'static str, at: (i64, i64)) -> String {
    let scene = Scene::new(phase, at, "a new token").await;
    let mut record = scene.world.record().expect("a record");
    record["grant"]["sent_at"] = json!(scene.world.clock.now());
    std::fs::write(scene.world.record_path(), record.to_string()).expect("a record");
    scene.service.respond.notify_one();
    let first = scene.broker().token(World::NAME, &TokenRequest::new()).await;
    let waited: Duration = scene.world.clock.slept().iter().sum();
    let how = if waited.is_zero() { "at once".to_owned() } else { format!("waits {} s", waited.as_secs()) };
    for _ in 0..20 {
        if scene.requests() > 0 {
            break;
        }
        scene.world.clock.advance(TimeDelta::seconds(1));
        drop(scene.broker().token(World::NAME, &TokenRequest::new()).await);
    }
    let sent = TimeDelta::hours(12) + (scene.world.clock.now() - scene.noon);
    let sent = DateTime::UNIX_EPOCH + sent;
    format!("| {phase} | {}, {how} | {} |", describe(&first), sent.format("%T"))
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

async fn end(task: JoinHandle<Result<Token>>) -> Result<Token> {
    tokio::time::timeout(Duration::from_secs(10), task).await.expect("it does not hang").expect("a task")
}

/// Returns the rows of the first table below a heading of docs/dev/renewal.md.
fn table(heading: &str) -> Vec<String> {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let (_, section) = page.split_once(&format!("## {heading}\n")).expect("the section of the table");
    let section = section.split("\n## ").next().unwrap_or_default();
    section.lines().filter(|line| line.starts_with("| ")).skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn interrupted_renewals_in_docs_match_broker_behaviour() {
    let mut actual = Vec::new();
    for (phase, at) in PHASES.into_iter().skip(1) {
        actual.push(play_interrupted(phase, at).await);
    }
    let expected = table("After an interrupted renewal");
    assert!(expected == actual, "docs/dev/renewal.md differs from the results:\n{}", actual.join("\n"));
}

#[tokio::test]
async fn renewal_table_in_docs_matches_broker_behaviour() {
    let expected = table("Every case");
    let mut actual = Vec::new();
    for (phase, at) in PHASES {
        // The table has one row for consecutive entries of `RESPONSES` with equal results.
        let mut rows: Vec<(Vec<&str>, String)> = Vec::new();
        for response in RESPONSES {
            let results = play(phase, at, response).await;
            match rows.last_mut() {
                Some((responses, same)) if *same == results => responses.push(response),
                _ => rows.push((vec![response], results)),
            }
        }
        actual.extend(
            rows.iter()
                .map(|(responses, results)| format!("| {phase} | {} | {results} |", responses.join(", "))),
        );
    }
    assert!(expected == actual, "docs/dev/renewal.md differs from the results:\n{}", actual.join("\n"));
}
