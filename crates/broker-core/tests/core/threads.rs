//! Tests of the token caches of threads after another thread or process has changed the record.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use broker_core::{
    Broker, Context, Entry, FileStore, Issuer, Loaded, Locking, Provider, Record, RecordUpdate, Result,
    Secret, Store, StoreAbout, Token, TokenRequest,
};
use broker_testkit::World;
use chrono::TimeDelta;

use crate::issuer;

/// A provider whose tokens are named 0, 1, 2, in the order of issue.
struct Numbered {
    issuer: Issuer,
    issued: AtomicUsize,
}

#[async_trait]
impl Provider for Numbered {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn can_renew(&self, _record: &Record) -> bool {
        true
    }

    async fn exchange(
        &self,
        context: &Context,
        _record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let secret = Secret::new(self.issued.fetch_add(1, Ordering::SeqCst).to_string());
        let token = Token::new(secret, context.now(), Some(context.now() + TimeDelta::hours(1)));
        Ok(RecordUpdate::token(request.scopes(), token))
    }
}

/// A thread that looks up the stored token when the test asks.
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

/// Returns a broker and 20 threads, which are more than the parts of the token cache.
fn crowd(world: &World, provider: &Arc<Numbered>) -> (Broker, Vec<Other>) {
    let broker = world.broker(provider.clone());
    let others = (0..20).map(|_| Other::new(&broker)).collect();
    (broker, others)
}

fn numbered() -> Arc<Numbered> {
    Arc::new(Numbered { issuer: issuer(), issued: AtomicUsize::new(0) })
}

#[track_caller]
fn assert_all_stored(others: &[Other], expected: Option<&str>) {
    // Every thread is asked twice, because the second call may use what the first cached.
    for other in others.iter().chain(others) {
        assert_eq!(other.stored().as_deref(), expected);
    }
}

#[tokio::test]
async fn record_change_by_one_thread_is_seen_by_all_threads() {
    let world = World::new();
    let (broker, others) = crowd(&world, &numbered());
    let usual = TokenRequest::new();
    assert_all_stored(&others, None);
    broker.token(World::NAME, &usual).await.expect("a token");
    assert_all_stored(&others, Some("0"));
    broker.token(World::NAME, &usual.clone().force()).await.expect("another");
    assert_all_stored(&others, Some("1"));
    broker.replace_rejected(World::NAME, &usual, Some(Secret::new("1"))).await.expect("another");
    assert_all_stored(&others, Some("2"));
    broker.logout(World::NAME, true).await.expect("a logout");
    assert_all_stored(&others, None);
}

#[tokio::test]
async fn record_change_by_another_process_is_seen_within_1_s() {
    let (world, provider) = (World::new(), numbered());
    let (broker, others) = crowd(&world, &provider);
    let another = world.broker(provider);
    let force = TokenRequest::new().force();
    broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
    assert_all_stored(&others, Some("0"));
    another.token(World::NAME, &force).await.expect("another");
    world.clock.advance(TimeDelta::milliseconds(999));
    assert_all_stored(&others, Some("0"));
    world.clock.advance(TimeDelta::milliseconds(1));
    assert_all_stored(&others, Some("1"));
    // After the clock was set back, cached records are too new and are reloaded.
    another.token(World::NAME, &force).await.expect("another");
    world.clock.advance(TimeDelta::seconds(-5));
    assert_all_stored(&others, Some("2"));
}

/// A store whose next read is delayed, and then returns an outdated record.
struct Slow {
    files: FileStore,
    next: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

#[async_trait]
impl Store for Slow {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        let loaded = self.files.peek(provider);
        if let Some((has_read, goes_on)) = self.next.lock().expect("a lock").take() {
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
async fn slow_store_read_does_not_restore_a_removed_login() {
    let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
    let slow = Arc::new(Slow { files: FileStore::new(folder.path()), next: Mutex::default() });
    let registry = BTreeMap::from([(World::NAME.to_owned(), Entry::new(numbered()))]);
    let broker = Broker::builder(registry, slow.clone(), world.context()).build();
    broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
    world.clock.advance(TimeDelta::seconds(2));
    let ((has_read, read), (go_on, goes_on)) = (channel(), channel());
    *slow.next.lock().expect("a lock") = Some((has_read, goes_on));
    let other = Other::new(&broker);
    other.requests.send(()).expect("the thread listens");
    read.recv().expect("it reads");
    broker.logout(World::NAME, true).await.expect("a logout");
    go_on.send(()).expect("it waits");
    // The thread may get the old token, because the thread asked before the logout.
    let _ = other.tokens.recv().expect("the thread answers");
    assert_all_stored(&[other, Other::new(&broker)], None);
}
