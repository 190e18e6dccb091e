//! Tests of the token caches of threads after another thread or process has changed the record.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use broker_core::{Broker, FileStore, Loaded, Locking, Result, Secret, Store, StoreAbout, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;

use crate::broker::{Scripted, get};
use crate::{builder, files};

/// A thread that reads the stored token for each message from the test, and sends the token to the test.
struct Other {
    requests: Sender<()>,
    tokens: Receiver<Option<String>>,
}

impl Other {
    fn new(broker: &Broker) -> Self {
        let (broker, (requests, requested), (send, tokens)) = (broker.clone(), channel(), channel());
        std::thread::spawn(move || {
            while requested.recv().is_ok() {
                let stored = broker.stored(World::NAME, &TokenRequest::new()).expect("a record");
                send.send(stored.map(|token| token.secret().expose().to_owned())).expect("the test listens");
            }
        });
        Self { requests, tokens }
    }

    fn stored(&self) -> Option<String> {
        self.requests.send(()).expect("the thread listens");
        self.tokens.recv().expect("the thread answers")
    }
}

/// Returns a broker and 20 threads. The token cache has fewer parts, so some threads share a part.
fn crowd(world: &World, provider: Arc<Scripted>) -> (Broker, Vec<Other>) {
    let broker = world.broker(provider);
    let others = (0..20).map(|_| Other::new(&broker)).collect();
    (broker, others)
}

#[track_caller]
fn assert_all_stored(others: &[Other], expected: Option<&str>) {
    // Each thread reads twice: the first read may load the record, and the second may return the cached record.
    for other in others.iter().chain(others) {
        assert_eq!(other.stored().as_deref(), expected);
    }
}

#[tokio::test]
async fn record_change_by_one_thread_is_seen_by_all_threads() {
    let world = World::new();
    let (broker, others) = crowd(&world, Scripted::numbered(TimeDelta::hours(1)));
    let usual = TokenRequest::new();
    assert_all_stored(&others, None);
    get(&broker, &usual).await;
    assert_all_stored(&others, Some("0"));
    get(&broker, &usual.clone().force()).await;
    assert_all_stored(&others, Some("1"));
    broker.replace_rejected(World::NAME, &usual, Some(&Secret::new("1"))).await.expect("another");
    assert_all_stored(&others, Some("2"));
    broker.provider(World::NAME).expect("a provider").logout_locally().await.expect("a logout");
    assert_all_stored(&others, None);
}

#[tokio::test]
async fn record_change_by_another_process_is_seen_within_1_s() {
    let (world, provider) = (World::new(), Scripted::numbered(TimeDelta::hours(1)));
    let (broker, others) = crowd(&world, provider.clone());
    let another = world.broker(provider);
    let (usual, force) = (TokenRequest::new(), TokenRequest::new().force());
    get(&broker, &usual).await;
    assert_all_stored(&others, Some("0"));
    get(&another, &force).await;
    world.clock.advance(TimeDelta::milliseconds(999));
    assert_all_stored(&others, Some("0"));
    world.clock.advance(TimeDelta::milliseconds(1));
    assert_all_stored(&others, Some("1"));
    assert_eq!(get(&broker, &usual).await, "1");
    // The clock is set back. A cached record from a later time is then not used.
    get(&another, &force).await;
    world.clock.advance(TimeDelta::seconds(-5));
    assert_all_stored(&others, Some("2"));
}

/// A store whose `read` loads the record, waits for the test, and then returns the record as loaded.
struct Slow {
    files: FileStore,
    next: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

#[async_trait]
impl Store for Slow {
    fn read(&self, provider: &str, may_wait: bool) -> Result<Option<Loaded>> {
        let loaded = self.files.read(provider, may_wait);
        let next = self.next.lock().expect("a lock").take();
        if let Some((has_read, goes_on)) = next {
            has_read.send(()).expect("the test listens");
            goes_on.recv().expect("the test goes on");
        }
        loaded
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        self.files.try_lock(provider).await
    }

    fn about(&self) -> StoreAbout {
        self.files.about()
    }
}

#[tokio::test]
async fn login_removed_during_a_slow_record_read_stays_removed() {
    let world = World::new();
    let slow = Arc::new(Slow { files: files(&world), next: Mutex::default() });
    let provider = Scripted::numbered(TimeDelta::hours(1));
    let broker = builder([(World::NAME, provider)], slow.clone(), world.context()).build();
    get(&broker, &TokenRequest::new()).await;
    world.clock.advance(TimeDelta::seconds(2));
    let ((has_read, read), (go_on, goes_on)) = (channel(), channel());
    *slow.next.lock().expect("a lock") = Some((has_read, goes_on));
    let other = Other::new(&broker);
    other.requests.send(()).expect("the thread listens");
    read.recv().expect("the thread reads");
    broker.provider(World::NAME).expect("a provider").logout_locally().await.expect("a logout");
    go_on.send(()).expect("the thread waits");
    // The thread may return the old token, because the thread's read began before the logout.
    let _ = other.tokens.recv().expect("the thread answers");
    assert_all_stored(&[other, Other::new(&broker)], None);
}
