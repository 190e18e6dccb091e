//! Tests of a thousand tasks whose token expires, at a service that detects reuse of refresh tokens.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};

use broker_core::{Broker, ErrorKind, Login, Result, Token, TokenRequest};
use broker_testkit::conformance::Subject;
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation, World};
use chrono::TimeDelta;
use tokio::task::JoinSet;

use crate::TestProvider;

const TASKS: usize = 1000;

struct Crowd {
    subject: TestProvider,
    broker: Broker,
    /// While this mutex is locked, the service does not respond.
    gate: Arc<Mutex<()>>,
}

impl Crowd {
    async fn new() -> Self {
        let mut subject = TestProvider::new(EarthScopeOptions::default());
        let (gate, clock) = (Arc::<Mutex<()>>::default(), subject.world.clock.clone());
        let service_gate = gate.clone();
        // Each reading of the clock advances the clock, because a response must be later than its request.
        let now = Arc::new(move || {
            drop(service_gate.lock());
            clock.advance(TimeDelta::milliseconds(1));
            broker_core::Clock::now(&clock)
        });
        let rotation = Rotation::RotateDetectReuse;
        subject.service = EarthScope::start(EarthScopeOptions { rotation, now, ..Default::default() });
        subject.service.approve_all();
        let broker = subject.world.broker(subject.provider());
        broker.login(World::NAME, Login::Usual).await.expect("a login");
        Self { subject, broker, gate }
    }

    /// Lets the token expire, then requests a token in 1000 concurrent tasks. Returns the results.
    async fn expiry(&self) -> Vec<Result<Token>> {
        self.subject.world.clock.advance(TimeDelta::days(2));
        self.subject.service.forget_seen();
        self.calls().join_all().await
    }

    fn calls(&self) -> JoinSet<Result<Token>> {
        let _waits = self.gate.lock().expect("the gate");
        let (started, starts) = mpsc::channel();
        let calls = (0..TASKS).map(|_| call(self.broker.clone(), started.clone())).collect();
        assert_eq!(starts.iter().take(TASKS).count(), TASKS);
        calls
    }
}

/// Requests a token, and sends a message to `started` when the request has started.
async fn call(broker: Broker, started: mpsc::Sender<()>) -> Result<Token> {
    let request = TokenRequest::new();
    let mut call = pin!(broker.token(World::NAME, &request));
    let mut started = Some(started);
    poll_fn(|context| {
        let polled = call.as_mut().poll(context);
        let sent = started.take().map(|started| started.send(()));
        assert!(sent.is_none_or(|sent| sent.is_ok()));
        polled
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_1000_tasks_refreshes_at_every_expiry() {
    let crowd = Crowd::new().await;
    let slept = crowd.subject.world.clock.slept().len();
    for expiry in 1..=50 {
        let tokens: Result<Vec<_>> = crowd.expiry().await.into_iter().collect();
        let tokens = tokens.expect("a token for each task");
        assert!(tokens.iter().all(|token| token.secret().same_as(tokens[0].secret())), "one token for all");
        let service = &crowd.subject.service;
        assert!(service.access_is_live(tokens[0].secret().expose()));
        assert_eq!((service.count("token"), service.refreshes(), service.reuse_events()), (1, expiry, 0));
    }
    let slept_after = crowd.subject.world.clock.slept().len();
    assert_eq!(slept_after, slept, "no task polls a lock that its own process has locked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn failed_refresh_returns_its_error_to_all_1000_tasks() {
    let crowd = Crowd::new().await;
    let service = &crowd.subject.service;
    for (refreshes, fault) in [Fault::Status(503), Fault::Garbage, Fault::Html(200)].into_iter().enumerate() {
        service.fault("token", fault.clone());
        let errors: Vec<_> =
            crowd.expiry().await.into_iter().map(|result| result.expect_err("a failure")).collect();
        let first = (ErrorKind::Unavailable, errors[0].message());
        let is_first = |error: &broker_core::Error| (error.kind(), error.message()) == first;
        assert!(errors.iter().all(is_first), "{fault:?}: one failure");
        assert_eq!((service.count("token"), service.refreshes()), (1, refreshes), "{fault:?}");
        assert!(crowd.expiry().await.iter().all(Result::is_ok), "{fault:?}: the next call works");
        assert_eq!((service.count("token"), service.reuse_events()), (1, 0), "{fault:?}");
    }
}
