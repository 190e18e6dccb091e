//! Plays the table of docs/dev/renewal.md: the stored token, the service's response, and the result of two callers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Context, Error, ErrorKind, Issuer, Login, Provider, Record, RecordUpdate, Result, Revoked,
    ScopeKey, Secret, Token, TokenRequest,
};
use broker_testkit::{TestClock, World};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::issuer;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dev/renewal.md");

/// The life of the held token.
const LIFE: TimeDelta = TimeDelta::hours(1);

/// What a service does when it is asked, by the words of the table; the last ends in success again.
const SERVICE: [&str; 5] = ["a new token", "an expired token", "no response", "a refusal", "`invalid_grant`"];

/// What is held, and when it is asked for: minutes and seconds after it was issued.
const HELD: [(&str, (i64, i64)); 5] = [
    ("valid", (30, 0)),
    ("advisory", (50, 0)),
    ("blocking", (59, 30)),
    ("expired", (90, 0)),
    ("no token", (0, 0)),
];

/// A service that does what the row says.
struct Service {
    issuer: Issuer,
    clock: TestClock,
    does: Mutex<&'static str>,
    asked: AtomicUsize,
    /// Somebody asks; and the answer may come.
    arrived: Notify,
    answer: Notify,
}

#[async_trait]
impl Provider for Service {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if record.usable_grant().is_none() {
            return Err(Error::login_required("the login is over"));
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.arrived.notify_one();
        self.answer.notified().await;
        // An answer takes time, or nobody could tell what was before and what after.
        self.clock.advance(TimeDelta::milliseconds(1));
        let does = *self.does.lock().expect("what it does");
        let token = |life| Token::new(Secret::new("new"), context.now(), Some(context.now() + life));
        match does {
            "a new token" => Ok(RecordUpdate::token(request.scopes(), token(LIFE))),
            "an expired token" => Ok(RecordUpdate::token(request.scopes(), token(TimeDelta::seconds(-1)))),
            "no response" => Err(Error::unavailable("no response")),
            "a refusal" => Err(Error::refused("not you")),
            _ => Ok(RecordUpdate::grant_refused()),
        }
    }

    async fn login(&self, context: &Context, _login: &Login) -> Result<RecordUpdate> {
        let change = RecordUpdate::grant(Secret::new("grant"), context.now());
        if *self.does.lock().expect("what it does") == "no token" {
            return Ok(change);
        }
        let token = Token::new(Secret::new("old"), context.now(), Some(context.now() + LIFE));
        Ok(change.and_token(&ScopeKey::default(), token))
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }
}

/// A row's world.
struct Scene {
    world: World,
    service: Arc<Service>,
    /// When the held token was issued.
    noon: DateTime<Utc>,
}

impl Scene {
    async fn new(held: &'static str, at: (i64, i64), does: &'static str) -> Self {
        let world = World::new();
        let service = Arc::new(Service {
            issuer: issuer(),
            clock: world.clock.clone(),
            does: Mutex::new(held),
            asked: AtomicUsize::new(0),
            arrived: Notify::new(),
            answer: Notify::new(),
        });
        let noon = broker_core::Clock::now(&world.clock);
        let scene = Self { world, service, noon };
        scene.broker().login(World::NAME, Login::Usual).await.expect("a login");
        scene.world.clock.advance(TimeDelta::minutes(at.0) + TimeDelta::seconds(at.1));
        *scene.service.does.lock().expect("what it does") = does;
        scene
    }

    fn broker(&self) -> Broker {
        self.world.broker(self.service.clone())
    }

    fn asked(&self) -> usize {
        self.service.asked.swap(0, Ordering::SeqCst)
    }

    fn on_disk(&self) -> String {
        let record = self.world.record().expect("a record");
        let mut all = Vec::new();
        all.extend(record["tokens"][""]["secret"].as_str().map(str::to_owned));
        if record["grant"]["refused_at"].is_string() {
            all.push("login refused".to_owned());
        } else if record["grant"]["sent_at"].is_string() {
            all.push("renewal begun".to_owned());
        }
        if record["failures"][""].is_object() {
            all.push("failure".to_owned());
        }
        if all.is_empty() { "nothing new".to_owned() } else { all.join(", ") }
    }

    /// When the service is asked next: the first of these moments at which a new process would ask.
    /// When the service is asked next: the first moment from now on at which a new process would ask.
    async fn next_try(&self) -> String {
        let now = broker_core::Clock::now(&self.world.clock);
        let file = std::fs::read(self.world.record_path()).expect("a record");
        if self.would_ask(&file).await {
            return "the next call".to_owned();
        }
        let mut vain = 0;
        for second in (0..10_800).step_by(15) {
            // A moment after: the answer took one too.
            let at = self.noon + TimeDelta::seconds(second) + TimeDelta::milliseconds(10);
            if at < now {
                continue;
            }
            self.world.clock.advance(at - broker_core::Clock::now(&self.world.clock));
            // What is used as it is asks nobody.
            if self.broker().stored(World::NAME, &TokenRequest::new()).expect("a look").is_some() {
                continue;
            }
            if self.would_ask(&file).await {
                return format!("{:02}:{:02}:{:02}", 12 + second / 3600, second / 60 % 60, second % 60);
            }
            vain += 1;
            if vain == 8 {
                break;
            }
        }
        "after a login".to_owned()
    }

    async fn would_ask(&self, file: &[u8]) -> bool {
        self.service.answer.notify_one();
        drop(self.broker().token(World::NAME, &TokenRequest::new()).await);
        // As it was, for the next look.
        std::fs::write(self.world.record_path(), file).expect("a record");
        // Perhaps nobody took the answer.
        drop(tokio::time::timeout(Duration::ZERO, self.service.answer.notified()).await);
        self.asked() > 0
    }
}

fn outcome(got: &Result<Token>) -> String {
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

/// Plays a row: one caller, and a second one while the first waits for the service. Returns the row's results.
async fn play(held: &'static str, at: (i64, i64), does: &'static str) -> String {
    let scene = Scene::new(held, at, does).await;
    let broker = scene.broker();
    let call = || {
        let broker = broker.clone();
        tokio::spawn(async move { broker.token(World::NAME, &TokenRequest::new()).await })
    };
    let first = call();
    let asks = tokio::select! {
        () = scene.service.arrived.notified() => true,
        () = until(|| first.is_finished()) => false,
    };
    let second = call();
    // Until it is through or waits: everything here runs on one thread.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let how = if second.is_finished() { "at once" } else { "waits" };
    scene.service.answer.notify_one();
    let (first, second) = (end(first).await, end(second).await);
    assert_eq!(asks, held != "valid", "{held}, {does}: a valid token needs no request");
    assert_eq!(scene.asked(), usize::from(asks), "{held}, {does}: the second caller never asks");
    let disk = scene.on_disk();
    let why = if scene.world.person.told().is_empty() { "" } else { ", with a warning" };
    let next = scene.next_try().await;
    format!("{}{why} | {}, {how} | {disk} | {next}", outcome(&first), outcome(&second))
}

async fn until(done: impl Fn() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

async fn end(task: JoinHandle<Result<Token>>) -> Result<Token> {
    tokio::time::timeout(Duration::from_secs(10), task).await.expect("it does not hang").expect("a task")
}

#[tokio::test]
async fn callers_get_what_the_table_says() {
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let table = page.split("## Every case").nth(1).expect("the section of the table");
    let told: Vec<_> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let mut seen = Vec::new();
    for (held, at) in HELD {
        // Responses with the same results share a row.
        let mut rows: Vec<(Vec<&str>, String)> = Vec::new();
        for does in SERVICE {
            let results = play(held, at, does).await;
            match rows.last_mut() {
                Some((responses, same)) if *same == results => responses.push(does),
                _ => rows.push((vec![does], results)),
            }
        }
        seen.extend(
            rows.iter().map(|(does, results)| format!("| {held} | {} | {results} |", does.join(", "))),
        );
    }
    assert!(told == seen, "docs/dev/renewal.md differs from what was seen:\n{}", seen.join("\n"));
}
