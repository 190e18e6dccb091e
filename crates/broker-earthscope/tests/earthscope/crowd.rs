//! A thousand tasks of one process on an expired token, at a service that ends a login whose refresh token comes
//! twice.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use broker_core::{Broker, ErrorKind, Login, Result, Token, TokenRequest};
use broker_testkit::conformance::Subject;
use broker_testkit::{EarthScope, EarthScopeOptions, Fault, Rotation, World};
use chrono::TimeDelta;
use tokio::task::JoinHandle;

use crate::Seismic;

const TASKS: usize = 1000;

struct Crowd {
    subject: Seismic,
    broker: Broker,
    /// The service gives no answer while this is locked.
    door: Arc<Mutex<()>>,
}

impl Crowd {
    async fn new() -> Self {
        let mut subject = Seismic::new(EarthScopeOptions::default());
        subject.world.timeout = Duration::from_secs(30);
        let (door, clock) = (Arc::<Mutex<()>>::default(), subject.world.clock.clone());
        let entrance = door.clone();
        // Time passes while it answers: what comes of it is later than the question.
        let now = Arc::new(move || {
            drop(entrance.lock());
            clock.advance(TimeDelta::milliseconds(1));
            broker_core::Clock::now(&clock)
        });
        let rotation = Rotation::RotateDetectReuse;
        subject.service = EarthScope::start(EarthScopeOptions { rotation, now, ..Default::default() });
        subject.service.approve_all();
        let broker = subject.world.broker(subject.provider());
        broker.login(World::NAME, Login::Usual).await.expect("a login");
        Self { subject, broker, door }
    }

    /// An expiry: all have asked before the service answers.
    async fn expiry(&self) -> Vec<Result<Token>> {
        self.subject.world.clock.advance(TimeDelta::days(2));
        self.subject.service.forget_seen();
        let all = self.all_have_asked();
        let mut got = Vec::with_capacity(TASKS);
        for asked in all {
            got.push(asked.await.expect("a task"));
        }
        got
    }

    fn all_have_asked(&self) -> Vec<JoinHandle<Result<Token>>> {
        let _answered_later = self.door.lock().expect("the door");
        let (asked, asking) = mpsc::channel();
        let all = (0..TASKS).map(|_| tokio::spawn(ask(self.broker.clone(), asked.clone()))).collect();
        assert_eq!(asking.iter().take(TASKS).count(), TASKS);
        all
    }
}

/// Asks for a token, and tells when it is asked for.
async fn ask(broker: Broker, asked: mpsc::Sender<()>) -> Result<Token> {
    let request = TokenRequest::new();
    let mut call = pin!(broker.token(World::NAME, &request));
    let mut asked = Some(asked);
    poll_fn(|context| {
        let polled = call.as_mut().poll(context);
        let told = asked.take().map(|asked| asked.send(()));
        assert!(told.is_none_or(|told| told.is_ok()));
        polled
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_every_expiry_one_of_1000_tasks_asks() {
    let crowd = Crowd::new().await;
    let slept = crowd.subject.world.clock.slept().len();
    for expiry in 1..=50 {
        let tokens: Vec<_> = crowd.expiry().await.into_iter().map(|got| got.expect("a token")).collect();
        assert!(tokens.iter().all(|token| token.secret().same_as(tokens[0].secret())), "the same for all");
        let service = &crowd.subject.service;
        assert!(service.access_is_live(tokens[0].secret().expose()));
        assert_eq!((service.count("token"), service.refreshes(), service.reuse_events()), (1, expiry, 0));
    }
    assert_eq!(
        crowd.subject.world.clock.slept().len(),
        slept,
        "nobody polls the lock that a task of the same process has"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_failure_of_one_is_that_of_1000_and_the_service_is_asked_once() {
    let crowd = Crowd::new().await;
    let service = &crowd.subject.service;
    for (refreshes, fault) in [Fault::Status(503), Fault::Garbage, Fault::Html(200)].into_iter().enumerate() {
        service.fault("token", fault.clone());
        let errors: Vec<_> =
            crowd.expiry().await.into_iter().map(|got| got.expect_err("a failure")).collect();
        assert!(
            errors.iter().all(|error| error.kind() == ErrorKind::Unavailable),
            "{fault:?}: {}",
            errors[0]
        );
        assert!(errors.iter().all(|error| error.message() == errors[0].message()), "{fault:?}: one failure");
        assert_eq!((service.count("token"), service.refreshes()), (1, refreshes), "{fault:?}");
        assert!(crowd.expiry().await.iter().all(Result::is_ok), "{fault:?}: the next time all is well");
        assert_eq!((service.count("token"), service.reuse_events()), (1, 0), "{fault:?}");
    }
}
