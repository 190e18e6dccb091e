//! Tests of providers that need each other's tokens, of concurrent tasks, and of a failing store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Context, Entry, Error, ErrorCode, ErrorKind, FileStore, Hint, Issuer, Loaded, Locked, Locking,
    Login, Provider, Record, RecordUpdate, Result, Revoked, Secret, Store, StoreAbout, Token, TokenRequest,
};
use broker_testkit::World;
use chrono::TimeDelta;
use tokio::sync::Notify;

use crate::issuer;

/// A provider that derives its token from another provider's token, if `needs` is set.
struct Derived {
    issuer: Issuer,
    needs: Option<&'static str>,
    broker: Arc<OnceLock<Broker>>,
    exchanges: AtomicUsize,
    hangs: Option<Notify>,
    /// The number of logins; `None` for a provider without a login.
    logins: Option<AtomicUsize>,
    /// Whether the service reports the name of the account.
    names_account: bool,
}

impl Derived {
    fn new(needs: Option<&'static str>, broker: &Arc<OnceLock<Broker>>) -> Arc<Self> {
        let exchanges = AtomicUsize::new(0);
        Arc::new(Self {
            issuer: issuer(),
            needs,
            broker: broker.clone(),
            exchanges,
            hangs: None,
            logins: None,
            names_account: true,
        })
    }

    fn with_login() -> Arc<Self> {
        let mut provider = Self::new(None, &Arc::default());
        Arc::get_mut(&mut provider).expect("its only owner").logins = Some(AtomicUsize::new(0));
        provider
    }

    fn hanging() -> Arc<Self> {
        let mut hanging = Self::new(None, &Arc::default());
        Arc::get_mut(&mut hanging).expect("its only owner").hangs = Some(Notify::new());
        hanging
    }
}

#[async_trait]
impl Provider for Derived {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn derives_from(&self) -> Option<&str> {
        self.needs
    }

    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if self.logins.is_some() && record.usable_grant().is_none() {
            return Err(Error::login_required("there is no login"));
        }
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        if let Some(hangs) = &self.hangs {
            hangs.notified().await;
        }
        let from = match (self.needs, self.broker.get()) {
            (Some(needs), Some(broker)) => {
                broker.token(needs, &TokenRequest::new()).await?.secret().expose().to_owned()
            }
            (Some(needs), None) => {
                context.token_of(needs, &TokenRequest::new()).await?.secret().expose().to_owned()
            }
            (None, _) => String::new(),
        };
        let secret = Secret::new(format!("{from}+"));
        let token = Token::new(secret, context.now(), Some(context.now() + TimeDelta::hours(1)));
        Ok(RecordUpdate::token(request.scopes(), token))
    }

    async fn login(&self, context: &Context, _login: &Login) -> Result<RecordUpdate> {
        let Some(logins) = &self.logins else { return Err(Error::usage("no login")) };
        logins.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let account = self.names_account.then(|| format!("account {}", logins.load(Ordering::SeqCst)));
        Ok(RecordUpdate::grant(Secret::new("grant"), context.now()).and_account(account))
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }
}

/// How a provider requests another provider's token.
#[derive(Clone, Copy)]
enum By {
    /// From the broker itself, as in a program that embeds the broker.
    Broker,
    /// With [`Context::token_of`].
    Context,
}

/// Returns a broker whose providers need each other's tokens.
fn family(world: &World, folder: &std::path::Path, by: By, needs: &[(&str, Option<&'static str>)]) -> Broker {
    let itself = Arc::new(OnceLock::new());
    let registry: BTreeMap<_, _> = needs
        .iter()
        .map(|(name, needs)| {
            let provider: Arc<dyn Provider> = Derived::new(*needs, &itself);
            ((*name).to_owned(), Entry::new(provider))
        })
        .collect();
    let broker = Broker::builder(registry, Arc::new(FileStore::new(folder)), world.context()).build();
    if let By::Broker = by {
        assert!(itself.set(broker.clone()).is_ok());
    }
    broker
}

#[tokio::test]
async fn provider_gets_another_providers_token() {
    for by in [By::Broker, By::Context] {
        let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
        let needs = [("a", Some("b")), ("b", Some("c")), ("c", None)];
        let broker = family(&world, folder.path(), by, &needs);
        // Both requests need the token of provider `b`.
        let usual = TokenRequest::new();
        let (a, b) = tokio::join!(broker.token("a", &usual), broker.token("b", &usual));
        assert_eq!(a.expect("a token").secret().expose(), "+++");
        assert_eq!(b.expect("a token").secret().expose(), "++");
    }
}

#[tokio::test]
async fn derived_token_is_unused_after_the_account_changes() {
    for names_account in [true, false] {
        change_account(names_account).await;
    }
}

/// Tests two logins, one after the other. `names_account`: whether the service reports the account.
async fn change_account(names_account: bool) {
    let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
    let (mut source, derived) = (Derived::with_login(), Derived::new(Some("source"), &Arc::default()));
    Arc::get_mut(&mut source).expect("its only owner").names_account = names_account;
    let providers: [(&str, Arc<dyn Provider>); 2] = [("source", source), ("derived", derived.clone())];
    let registry: BTreeMap<_, _> =
        providers.into_iter().map(|(name, provider)| (name.to_owned(), Entry::new(provider))).collect();
    let broker = Broker::builder(registry, Arc::new(FileStore::new(folder.path())), world.context()).build();
    let usual = TokenRequest::new();
    let error = broker.token("derived", &usual).await.expect_err("no login");
    assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error}");
    assert_eq!((error.hint(), error.provider()), (Some(&Hint::LogIn), Some("source")), "{error:?}");
    for logins in 1..=2 {
        broker.login("source", Login::Usual).await.expect("a login");
        world.clock.advance(TimeDelta::seconds(2));
        assert!(broker.stored("derived", &usual).expect("a record").is_none(), "of another account");
        broker.token("derived", &usual).await.expect("a token");
        broker.token("derived", &usual).await.expect("the same token");
        assert_eq!(derived.exchanges.load(Ordering::SeqCst), 1 + logins, "one per account, and a failed one");
    }
}

#[tokio::test]
async fn providers_that_need_each_other_fail_without_deadlock() {
    let cycles = [vec![("a", Some("a"))], vec![("a", Some("b")), ("b", Some("c")), ("c", Some("a"))]];
    for (needs, by) in cycles.iter().flat_map(|needs| [(needs, By::Broker), (needs, By::Context)]) {
        let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
        let broker = family(&world, folder.path(), by, needs);
        let usual = TokenRequest::new();
        let call = tokio::time::timeout(Duration::from_secs(20), broker.token("a", &usual));
        let error = call.await.expect("no deadlock").expect_err("a cycle");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains(" a -> "), "{error}");
    }
}

#[tokio::test]
async fn wait_for_a_hanging_task_ends_at_the_time_limit() {
    let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
    let provider: Arc<dyn Provider> = Derived::hanging();
    let registry = BTreeMap::from([("a".to_owned(), Entry::new(provider))]);
    let store = Arc::new(FileStore::new(folder.path()));
    let broker =
        Broker::builder(registry, store, world.context()).wait_limit(Duration::from_millis(20)).build();
    let hanging = tokio::spawn({
        let broker = broker.clone();
        async move { broker.token("a", &TokenRequest::new()).await }
    });
    tokio::task::yield_now().await;
    let error = broker.token("a", &TokenRequest::new()).await.expect_err("it waits no longer");
    assert_eq!(error.code(), ErrorCode::LockTimeout);
    assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    hanging.abort();
}

#[tokio::test]
async fn only_one_of_many_concurrent_callers_logs_in() {
    let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
    let provider = Derived::with_login();
    // Eight brokers, as in eight processes, with two tasks each.
    let brokers = (0..8).map(|_| {
        let entry: Arc<dyn Provider> = provider.clone();
        let registry = BTreeMap::from([("a".to_owned(), Entry::new(entry))]);
        Broker::builder(registry, Arc::new(FileStore::new(folder.path())), world.context()).build()
    });
    let all: Vec<_> = brokers
        .flat_map(|broker| [broker.clone(), broker])
        .map(|broker| tokio::spawn(async move { broker.token_or_login("a", &TokenRequest::new()).await }))
        .collect();
    let mut logged_in = 0;
    for each in all {
        let (token, login) = each.await.expect("a task").expect("a token");
        assert_eq!(token.secret().expose(), "+");
        logged_in += usize::from(login.is_some());
    }
    let seen = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    assert_eq!((logged_in, provider.logins.as_ref().map(seen), seen(&provider.exchanges)), (1, Some(1), 1));
}

/// A store in which every save fails.
struct Failing(FileStore);

struct FailingLocked(Box<dyn Locked>);

#[async_trait]
impl Store for Failing {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        self.0.peek(provider)
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        Ok(match self.0.try_lock(provider).await? {
            Locking::Taken(locked) => Locking::Taken(Box::new(FailingLocked(locked))),
            busy @ Locking::Busy(_) => busy,
        })
    }

    fn about(&self) -> StoreAbout {
        self.0.about()
    }
}

#[async_trait]
impl Locked for FailingLocked {
    async fn load(&mut self) -> Result<Loaded> {
        self.0.load().await
    }

    async fn probe(&mut self, saves: usize) -> Result<()> {
        self.0.probe(saves).await
    }

    async fn save(&mut self, _record: &Record) -> Result<Option<String>> {
        Err(Error::failed("the disk is broken"))
    }

    async fn save_to_fallback(&mut self, record: &Record) -> Result<String> {
        self.0.save_to_fallback(record).await
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        self.0.forget().await
    }
}

#[tokio::test]
async fn token_call_fails_if_the_new_token_cannot_be_saved() {
    let (world, folder) = (World::new(), tempfile::tempdir().expect("a folder"));
    let provider: Arc<dyn Provider> = Derived::new(None, &Arc::default());
    let registry = BTreeMap::from([("a".to_owned(), Entry::new(provider))]);
    let store = Arc::new(Failing(FileStore::new(folder.path())));
    let broker = Broker::builder(registry, store, world.context()).build();
    let error = broker.token("a", &TokenRequest::new()).await.expect_err("it is not saved");
    assert_eq!(error.code(), ErrorCode::StoreUnwritable);
    assert!(error.message().contains("the disk is broken") && error.hint().is_some(), "{error:?}");
}
