//! What one thread has seen, and another changes.

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

/// A provider whose tokens are numbered.
struct Numbered {
    issuer: Issuer,
    given: AtomicUsize,
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
        let secret = Secret::new(self.given.fetch_add(1, Ordering::SeqCst).to_string());
        let token = Token::new(secret, context.now(), Some(context.now() + TimeDelta::hours(1)));
        Ok(RecordUpdate::token(request.scopes(), token))
    }
}

/// A thread that says what it is handed at once, as often as it is asked.
struct Other {
    asks: Sender<()>,
    says: Receiver<Option<String>>,
}

impl Other {
    fn new(broker: &Broker) -> Self {
        let (broker, (asks, asked), (said, says)) = (broker.clone(), channel(), channel());
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                let held = broker.stored(World::NAME, &TokenRequest::new()).expect("a look");
                said.send(held.map(|token| token.secret().expose().to_owned())).expect("the test listens");
            }
        });
        Self { asks, says }
    }

    fn held(&self) -> Option<String> {
        self.asks.send(()).expect("the thread listens");
        self.says.recv().expect("the thread answers")
    }
}

/// More threads than there are stripes, and a broker of them.
fn crowd(world: &World, provider: &Arc<Numbered>) -> (Broker, Vec<Other>) {
    let broker = world.broker(provider.clone());
    let others = (0..20).map(|_| Other::new(&broker)).collect();
    (broker, others)
}

fn numbered() -> Arc<Numbered> {
    Arc::new(Numbered { issuer: issuer(), given: AtomicUsize::new(0) })
}

#[track_caller]
fn all_hold(others: &[Other], expected: Option<&str>) {
    // Twice: what the first look left behind is handed out by the second.
    for other in others.iter().chain(others) {
        assert_eq!(other.held().as_deref(), expected);
    }
}

#[tokio::test]
async fn what_one_thread_replaces_no_other_hands_out_afterwards() {
    let world = World::new();
    let (broker, others) = crowd(&world, &numbered());
    let usual = TokenRequest::new();
    all_hold(&others, None);
    broker.token(World::NAME, &usual).await.expect("a token");
    all_hold(&others, Some("0"));
    broker.token(World::NAME, &usual.clone().force()).await.expect("another");
    all_hold(&others, Some("1"));
    broker.replace_rejected(World::NAME, &usual, Some(Secret::new("1"))).await.expect("another");
    all_hold(&others, Some("2"));
    broker.logout(World::NAME, true).await.expect("a logout");
    all_hold(&others, None);
}

#[tokio::test]
async fn what_another_process_replaces_each_thread_sees_after_a_second() {
    let (world, provider) = (World::new(), numbered());
    let (broker, others) = crowd(&world, &provider);
    let another = world.broker(provider);
    let force = TokenRequest::new().force();
    broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
    all_hold(&others, Some("0"));
    another.token(World::NAME, &force).await.expect("another");
    world.clock.advance(TimeDelta::milliseconds(999));
    all_hold(&others, Some("0"));
    world.clock.advance(TimeDelta::milliseconds(1));
    all_hold(&others, Some("1"));
    // What was seen later than now tells nothing.
    another.token(World::NAME, &force).await.expect("another");
    world.clock.advance(TimeDelta::seconds(-5));
    all_hold(&others, Some("2"));
}

/// A store that one look takes a while at: what it shows is of before.
struct Slow {
    files: FileStore,
    next: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

#[async_trait]
impl Store for Slow {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        let shown = self.files.peek(provider);
        if let Some((has_looked, goes_on)) = self.next.lock().expect("a lock").take() {
            has_looked.send(()).expect("the test listens");
            goes_on.recv().expect("the test goes on");
        }
        shown
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        self.files.try_lock(provider).await
    }

    fn about(&self) -> StoreAbout {
        self.files.about()
    }
}

#[tokio::test]
async fn a_slow_look_does_not_bring_back_what_was_logged_out_meanwhile() {
    let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
    let slow = Arc::new(Slow { files: FileStore::new(folder.path()), next: Mutex::default() });
    let catalog = BTreeMap::from([(World::NAME.to_owned(), Entry::new(numbered()))]);
    let broker = Broker::builder(catalog, slow.clone(), world.context()).build();
    broker.token(World::NAME, &TokenRequest::new()).await.expect("a token");
    world.clock.advance(TimeDelta::seconds(2));
    let ((has_looked, looked), (go_on, goes_on)) = (channel(), channel());
    *slow.next.lock().expect("a lock") = Some((has_looked, goes_on));
    let other = Other::new(&broker);
    other.asks.send(()).expect("the thread listens");
    looked.recv().expect("it looks");
    broker.logout(World::NAME, true).await.expect("a logout");
    go_on.send(()).expect("it waits");
    // It asked before the logout.
    let _ = other.says.recv().expect("the thread answers");
    all_hold(&[other, Other::new(&broker)], None);
}
