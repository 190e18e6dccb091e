//! Tests how long a refresh token rests after a renewal that got no response, such as one of a killed process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{Broker, Clock, Context, Error, ErrorCode, Login, RecordUpdate, Secret, TokenRequest};
use broker_testkit::{TestClock, TestEnv, TestPrompt, World};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::broker::{Scripted, get, issue};
use crate::{builder, files};

/// Creates fields of the grant from the time of the last request, and an old time.
type Fields = fn(Value, Value) -> Value;

const HOUR: TimeDelta = TimeDelta::hours(1);

/// Creates a provider whose first exchange returns a login and the token `0`. Later exchanges return a token and a new
/// grant.
fn rotating() -> Arc<Scripted> {
    Scripted::new(|number, operation, _, request| {
        let grant = Secret::new(format!("grant {number}"));
        Ok(issue(operation, request, &number.to_string(), HOUR).and_grant(grant, operation.now()))
    })
}

/// Adds fields to the stored grant, as a killed process leaves them.
fn edit_grant(world: &World, fields: &Value) {
    let mut record = world.record().expect("a record");
    let grant = record["grant"].as_object_mut().expect("a grant");
    grant.extend(fields.as_object().expect("fields").clone());
    std::fs::write(world.record_path(), record.to_string()).expect("a record");
}

/// Returns a world with a login and the token `0`, which was issued `age` ago.
async fn logged_in(provider: &Arc<Scripted>, age: TimeDelta) -> World {
    let world = World::new();
    assert_eq!(get(&world.broker(provider.clone()), &TokenRequest::new()).await, "0");
    world.clock.advance(age);
    world
}

fn seconds(durations: &[Duration]) -> u64 {
    durations.iter().sum::<Duration>().as_secs()
}

#[tokio::test]
async fn unanswered_refresh_token_rests_up_to_10_seconds() {
    let at = |world: &World, ago: i64| json!(world.clock.now() - TimeDelta::seconds(ago));
    let cases: [(&str, u64, Fields, i64, u64); 9] = [
        ("just sent", 20, |at, _| json!({ "sent_at": at }), 0, 10),
        ("sent 3 s ago", 20, |at, _| json!({ "sent_at": at }), 3, 7),
        ("a timeout of 4 s", 4, |at, _| json!({ "sent_at": at }), 1, 3),
        ("sent 10 s ago", 20, |at, _| json!({ "sent_at": at }), 10, 0),
        (
            "sent long ago, and again 2 s ago",
            20,
            |again, old| json!({ "sent_at": old, "sent_again_at": again }),
            2,
            8,
        ),
        ("answered", 20, |at, _| json!({ "sent_at": at, "answered": true }), 0, 0),
        ("clock set back 5 s", 20, |at, _| json!({ "sent_at": at }), -5, 10),
        ("clock set back 100 years", 20, |at, _| json!({ "sent_at": at }), -3_155_760_000, 10),
        ("no request", 20, |_, _| json!({}), 0, 0),
    ];
    for (what, timeout, fields, ago, expected) in cases {
        let provider = rotating();
        let mut world = logged_in(&provider, HOUR).await;
        world.timeout = Duration::from_secs(timeout);
        edit_grant(&world, &fields(at(&world, ago), at(&world, 7200)));
        assert_eq!(get(&world.broker(provider.clone()), &TokenRequest::new()).await, "1", "{what}");
        assert_eq!(seconds(&world.clock.slept()), expected, "{what}");
        assert_eq!(world.person.told().len(), usize::from(expected > 2), "{what}: the user is told once");
        assert_eq!(world.record().expect("a record")["grant"]["sent_at"], Value::Null, "{what}");
    }
}

#[tokio::test]
async fn valid_token_serves_while_the_refresh_token_rests() {
    let request = TokenRequest::new;
    for (what, age, request, expected) in [
        ("advisory", TimeDelta::minutes(50), request(), "0"),
        ("blocking", TimeDelta::seconds(3590), request(), "0"),
        ("expired", HOUR, request(), "1"),
        ("too short", TimeDelta::minutes(50), request().min_ttl(Duration::from_mins(30)), "1"),
        ("forced", TimeDelta::minutes(1), request().force(), "1"),
    ] {
        let provider = rotating();
        let world = logged_in(&provider, age).await;
        edit_grant(&world, &json!({ "sent_at": world.clock.now() }));
        let broker = world.broker(provider.clone());
        assert_eq!(get(&broker, &request).await, expected, "{what}");
        let waits = u64::from(expected == "1") * 10;
        assert_eq!(seconds(&world.clock.slept()), waits, "{what}");
        // After the quiet time, the next call renews as usual.
        world.clock.advance(TimeDelta::seconds(10));
        assert_eq!(get(&broker, &TokenRequest::new()).await, "1", "{what}");
        assert_eq!((provider.exchanges(), seconds(&world.clock.slept())), (2, waits), "{what}");
    }
}

#[tokio::test]
async fn time_of_sending_in_the_future_delays_one_renewal() {
    for (ahead, age) in [(5, 50), (86_400 * 400, 50), (5, 60), (86_400 * 400, 60)] {
        let what = format!("sent {ahead} s ahead, token {age} min old");
        // The service is down in the second exchange.
        let provider = Scripted::new(|number, operation, _, request| {
            if number == 1 {
                return Err(Error::new(ErrorCode::NetworkUnreachable, "down"));
            }
            let grant = Secret::new(format!("grant {number}"));
            Ok(issue(operation, request, &number.to_string(), HOUR).and_grant(grant, operation.now()))
        });
        let world = logged_in(&provider, TimeDelta::minutes(age)).await;
        edit_grant(&world, &json!({ "sent_at": world.clock.now() + TimeDelta::seconds(ahead) }));
        let broker = world.broker(provider.clone());
        let (exchanges, waits, then) = if age == 60 { (2, 10, "2") } else { (1, 0, "0") };
        let first = broker.token(World::NAME, &TokenRequest::new()).await;
        assert_eq!((first.is_err(), provider.exchanges()), (age == 60, exchanges), "{what}");
        assert_eq!(seconds(&world.clock.slept()), waits, "{what}");
        world.clock.advance(TimeDelta::seconds(10));
        assert_eq!(get(&broker, &TokenRequest::new()).await, then, "{what}");
        assert_eq!((provider.exchanges(), seconds(&world.clock.slept())), (exchanges + 1, waits), "{what}");
    }
}

#[tokio::test]
async fn login_and_logout_do_not_wait_for_a_resting_grant() {
    for logout in [false, true] {
        let provider = rotating();
        let world = logged_in(&provider, HOUR).await;
        edit_grant(&world, &json!({ "sent_at": world.clock.now() }));
        let broker = world.broker(provider);
        if logout {
            broker.logout(World::NAME).await.expect("logged out");
        } else {
            broker.login(World::NAME, Login::Usual).await.expect("logged in");
        }
        assert_eq!(world.clock.slept(), [Duration::ZERO; 0], "logout: {logout}");
    }
}

#[tokio::test]
async fn call_with_a_short_wait_limit_fails_at_once() {
    let provider = rotating();
    let world = logged_in(&provider, HOUR).await;
    edit_grant(&world, &json!({ "sent_at": world.clock.now() }));
    let limited = builder([(World::NAME, provider.clone())], Arc::new(files(&world)), world.context());
    let limited = limited.wait_limit(Duration::from_secs(1)).build();
    let error = limited.token(World::NAME, &TokenRequest::new()).await.expect_err("too long");
    assert_eq!((error.code(), error.is_transient()), (ErrorCode::LockTimeout, true));
    assert_eq!((provider.exchanges(), world.clock.slept().len()), (1, 0));
    let record = world.record().expect("a record");
    assert_eq!(record["failures"], Value::Null, "the failure concerns no other caller: {record}");
    assert_eq!(get(&world.broker(provider), &TokenRequest::new()).await, "1");
}

/// A clock whose sleeps do not end.
struct Stopped {
    clock: TestClock,
    asleep: Arc<Notify>,
}

#[async_trait]
impl Clock for Stopped {
    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn sleep(&self, _duration: Duration) {
        self.asleep.notify_one();
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn cancelled_call_ends_its_wait_and_sends_nothing() {
    let provider = rotating();
    let world = logged_in(&provider, HOUR).await;
    edit_grant(&world, &json!({ "sent_at": world.clock.now() }));
    let asleep = Arc::new(Notify::new());
    let clock = Arc::new(Stopped { clock: world.clock.clone(), asleep: asleep.clone() });
    let http = Arc::new(broker_core::ReqwestHttp::default());
    let context = Context::new(http, clock, Arc::<TestEnv>::default(), Arc::<TestPrompt>::default());
    let waiting: Broker =
        builder([(World::NAME, provider.clone())], Arc::new(files(&world)), context).build();
    let call = tokio::spawn({
        let broker = waiting.clone();
        async move { broker.token(World::NAME, &TokenRequest::new()).await }
    });
    asleep.notified().await;
    call.abort();
    drop(call.await);
    // Another call gets the lock, although the clock of the cancelled one stands still.
    assert_eq!(get(&world.broker(provider.clone()), &TokenRequest::new()).await, "1");
    assert_eq!(provider.exchanges(), 2);
}

/// Creates a provider that issues tokens until its third exchange, which refuses the grant.
fn refusing_later() -> Arc<Scripted> {
    Scripted::new(|number, operation, record, request| match number {
        0 | 1 => {
            let grant = Secret::new(format!("grant {number}"));
            Ok(issue(operation, request, &number.to_string(), HOUR).and_grant(grant, operation.now()))
        }
        2 => Ok(RecordUpdate::grant_refused()),
        _ => Err(record.login_missing()),
    })
}

#[tokio::test]
async fn later_refusal_names_an_interrupted_renewal_for_a_day() {
    for (pause, named) in [(TimeDelta::hours(2), true), (TimeDelta::hours(26), false)] {
        let provider = refusing_later();
        let world = logged_in(&provider, HOUR).await;
        let at = world.clock.now();
        edit_grant(&world, &json!({ "sent_at": at }));
        let broker = world.broker(provider);
        assert_eq!(get(&broker, &TokenRequest::new()).await, "1");
        assert_eq!(
            world.record().expect("a record")["interrupted_at"],
            json!(at),
            "the renewal keeps the time"
        );
        world.clock.advance(pause);
        let error = broker.token(World::NAME, &TokenRequest::new()).await.expect_err("the login is over");
        assert_eq!(error.code(), ErrorCode::GrantRefused);
        let at = at.format("%F %T UTC").to_string();
        let note = broker.status(World::NAME).expect("a status").note.expect("a note");
        for text in [error.message(), &note] {
            assert_eq!(text.contains(&at), named, "after {pause}: {text}");
        }
    }
}

#[tokio::test]
async fn new_login_forgets_an_interrupted_renewal() {
    let provider = rotating();
    let world = logged_in(&provider, HOUR).await;
    edit_grant(&world, &json!({ "sent_at": world.clock.now() }));
    let broker = world.broker(provider);
    let _ = get(&broker, &TokenRequest::new()).await;
    assert!(world.record().expect("a record")["interrupted_at"].is_string());
    broker.login(World::NAME, Login::Usual).await.expect("logged in");
    assert_eq!(world.record().expect("a record")["interrupted_at"], Value::Null);
}
