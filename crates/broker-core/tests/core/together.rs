//! Tests of providers that need each other's tokens, and of concurrent tasks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Error, ErrorCode, ErrorKind, Hint, Login, LoginMethod, Operation, Provider, ProviderInfo, Record,
    RecordUpdate, Result, Secret, TokenRequest,
};
use broker_testkit::World;
use chrono::TimeDelta;

use crate::broker::issue;
use crate::{builder, files, info};

/// A provider that needs a token of the provider `needs` to get its own token. `None`: needs no other token.
struct Derived {
    info: ProviderInfo,
    needs: Option<&'static str>,
    broker: Arc<OnceLock<Broker>>,
    exchanges: AtomicUsize,
    hangs: bool,
    /// The number of logins; `None` for a provider without a login.
    logins: Option<AtomicUsize>,
    /// Whether the service reports the name of the account.
    names_account: bool,
}

impl Derived {
    fn new(needs: Option<&'static str>) -> Self {
        let mut info = info(&[]);
        info.derives_from = needs.map(str::to_owned);
        Self {
            info,
            needs,
            broker: Arc::default(),
            exchanges: AtomicUsize::new(0),
            hangs: false,
            logins: None,
            names_account: true,
        }
    }

    fn with_login() -> Self {
        Self { info: info(&[LoginMethod::Interactive]), logins: Some(AtomicUsize::new(0)), ..Self::new(None) }
    }
}

#[async_trait]
impl Provider for Derived {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if self.logins.is_some() && record.usable_grant().is_none() {
            return Err(Error::login_required("there is no login"));
        }
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        let usual = TokenRequest::new();
        let source = match (self.needs, self.broker.get()) {
            (Some(needs), Some(broker)) => Some(broker.token(needs, &usual).await?),
            (Some(needs), None) => Some(operation.token_of(needs, &usual).await?),
            (None, _) => None,
        };
        let source = source.as_ref().map_or("", |token| token.secret().expose());
        Ok(issue(operation, request, &format!("{source}+"), TimeDelta::hours(1)))
    }

    async fn login(&self, operation: &Operation, _login: &Login) -> Result<RecordUpdate> {
        let Some(logins) = &self.logins else { return Err(Error::usage("no login")) };
        logins.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        let account = self.names_account.then(|| format!("account {}", logins.load(Ordering::SeqCst)));
        Ok(RecordUpdate::grant(Secret::new("grant"), operation.now()).and_account(account))
    }
}

/// Returns a broker whose providers need each other's tokens. Providers get these tokens with
/// [`Operation::token_of`], or, if `embedded`, from the broker itself, as in a program that embeds the broker.
fn family(world: &World, embedded: bool, needs: &[(&'static str, Option<&'static str>)]) -> Broker {
    let itself = Arc::new(OnceLock::new());
    let provider = |needs| Arc::new(Derived { broker: itself.clone(), ..Derived::new(needs) });
    let providers = needs.iter().map(|(name, needs)| (*name, provider(*needs)));
    let broker = builder(providers, Arc::new(files(world)), world.context()).build();
    if embedded {
        assert!(itself.set(broker.clone()).is_ok());
    }
    broker
}

#[tokio::test]
async fn token_is_derived_from_another_providers_token() {
    for embedded in [true, false] {
        let world = World::new();
        let broker = family(&world, embedded, &[("a", Some("b")), ("b", Some("c")), ("c", None)]);
        let usual = TokenRequest::new();
        let (a, b) = tokio::join!(broker.token("a", &usual), broker.token("b", &usual));
        assert_eq!(a.expect("a token").secret().expose(), "+++");
        assert_eq!(b.expect("a token").secret().expose(), "++");
    }
}

#[tokio::test]
async fn token_derived_from_replaced_login_is_not_returned() {
    for names_account in [true, false] {
        let (world, derived) = (World::new(), Arc::new(Derived::new(Some("source"))));
        let source = Arc::new(Derived { names_account, ..Derived::with_login() });
        let providers = [("source", source), ("derived", derived.clone())];
        let broker = builder(providers, Arc::new(files(&world)), world.context()).build();
        let usual = TokenRequest::new();
        let error = broker.token("derived", &usual).await.expect_err("no login");
        assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error}");
        assert_eq!((error.hint(), error.provider()), (Some(&Hint::LogIn), Some("source")), "{error:?}");
        for logins in 1..=2 {
            broker.login("source", Login::Usual).await.expect("a login");
            world.clock.advance(TimeDelta::seconds(2));
            assert!(broker.stored("derived", &usual).expect("a record").is_none(), "no token of the account");
            broker.token("derived", &usual).await.expect("a token");
            broker.token("derived", &usual).await.expect("the same token");
            let exchanges = derived.exchanges.load(Ordering::SeqCst);
            assert_eq!(exchanges, 1 + logins, "one for each account, and a failed one");
        }
    }
}

#[tokio::test]
async fn providers_that_need_each_other_fail_without_deadlock() {
    let cycles = [vec![("a", Some("a"))], vec![("a", Some("b")), ("b", Some("c")), ("c", Some("a"))]];
    for (needs, embedded) in cycles.iter().flat_map(|needs| [(needs, true), (needs, false)]) {
        let world = World::new();
        let broker = family(&world, embedded, needs);
        let usual = TokenRequest::new();
        let call = tokio::time::timeout(Duration::from_secs(20), broker.token("a", &usual));
        let error = call.await.expect("no deadlock").expect_err("a cycle");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.message().contains(" a -> "), "{error}");
    }
}

#[tokio::test]
async fn caller_gets_error_if_another_task_hangs_past_wait_limit() {
    let world = World::new();
    let provider = Arc::new(Derived { hangs: true, ..Derived::new(None) });
    let builder = builder([("a", provider)], Arc::new(files(&world)), world.context());
    let broker = builder.wait_limit(Duration::from_millis(20)).build();
    let hanging = tokio::spawn({
        let broker = broker.clone();
        async move { broker.token("a", &TokenRequest::new()).await }
    });
    tokio::task::yield_now().await;
    let error = broker.token("a", &TokenRequest::new()).await.expect_err("a timeout");
    assert_eq!(error.code(), ErrorCode::LockTimeout);
    assert!(error.message().contains(&std::process::id().to_string()), "{error}");
    hanging.abort();
}

#[tokio::test]
async fn only_one_of_many_concurrent_callers_logs_in() {
    let (world, provider) = (World::new(), Arc::new(Derived::with_login()));
    // Eight brokers, as in eight processes, with two tasks each.
    let all: Vec<_> = (0..8)
        .map(|_| world.broker(provider.clone()))
        .flat_map(|broker| [broker.clone(), broker])
        .map(|broker| {
            tokio::spawn(async move {
                broker.provider(World::NAME).expect("a provider").token_or_login(&TokenRequest::new()).await
            })
        })
        .collect();
    let mut logged_in = 0;
    for each in all {
        let (token, login) = each.await.expect("a task").expect("a token");
        assert_eq!(token.secret().expose(), "+");
        logged_in += usize::from(login.is_some());
    }
    let exchanges = provider.exchanges.load(Ordering::SeqCst);
    let logins = provider.logins.as_ref().map(|logins| logins.load(Ordering::SeqCst));
    assert_eq!((logged_in, logins, exchanges), (1, Some(1), 1));
}
