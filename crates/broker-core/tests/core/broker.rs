//! Tests of the broker with scripted providers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use broker_core::{
    Broker, Error, ErrorCode, ErrorKind, Login, Operation, Provider, ProviderInfo, Record, RecordUpdate,
    Result, ScopeKey, Secret, Token, TokenRequest,
};
use broker_testkit::World;
use chrono::{DateTime, TimeDelta, Utc};

use crate::info;

type Act = dyn Fn(usize, &Operation, &Record, &TokenRequest) -> Result<RecordUpdate> + Send + Sync;

/// A provider whose closure returns the result of each exchange, given the number of the exchange.
pub(crate) struct Scripted {
    info: ProviderInfo,
    exchanges: AtomicUsize,
    act: Box<Act>,
}

impl Scripted {
    pub(crate) fn new(
        act: impl Fn(usize, &Operation, &Record, &TokenRequest) -> Result<RecordUpdate> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { info: info(&[]), exchanges: AtomicUsize::new(0), act: Box::new(act) })
    }

    /// Creates a provider that issues tokens with the texts `0`, `1`, `2`, in this order.
    pub(crate) fn numbered(lifetime: TimeDelta) -> Arc<Self> {
        Self::new(move |number, operation, _, request| {
            Ok(issue(operation, request, &number.to_string(), lifetime))
        })
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Provider for Scripted {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn check(&self, _request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        Ok(())
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        (self.act)(self.exchanges.fetch_add(1, Ordering::SeqCst), operation, record, request)
    }
}

pub(crate) fn token(operation: &Operation, name: &str, lifetime: TimeDelta) -> Token {
    Token::new(Secret::new(name), operation.now(), operation.now().checked_add_signed(lifetime))
}

/// Returns a record update with a new token for the requested scopes.
pub(crate) fn issue(
    operation: &Operation,
    request: &TokenRequest,
    name: &str,
    lifetime: TimeDelta,
) -> RecordUpdate {
    RecordUpdate::token(request.scopes(), token(operation, name, lifetime))
}

/// Gets a token from a broker with one provider, and returns the token's secret.
pub(crate) async fn get(broker: &Broker, request: &TokenRequest) -> String {
    broker.token(World::NAME, request).await.expect("a token").secret().expose().to_owned()
}

#[tokio::test]
async fn broker_saves_each_response_before_the_next_request() {
    let world = World::new();
    let path = world.record_path();
    let provider = Scripted::new(move |number, operation, record, request| {
        if number == 0 {
            return Ok(RecordUpdate::grant(Secret::new("a grant"), operation.now()));
        }
        let saved = std::fs::read_to_string(&path).expect("the record is on the disk");
        assert!(saved.contains("a grant"), "the first exchange is saved");
        assert!(record.usable_grant().is_some(), "the grant is in the record");
        Ok(issue(operation, request, "t", TimeDelta::hours(1)))
    });
    assert_eq!(get(&world.broker(provider), &TokenRequest::new()).await, "t");
}

#[tokio::test]
async fn provider_that_never_returns_a_token_fails() {
    let provider =
        Scripted::new(|_, operation, _, _| Ok(RecordUpdate::grant(Secret::new("again"), operation.now())));
    let error = World::new().broker(provider.clone()).token(World::NAME, &TokenRequest::new()).await;
    assert_eq!(error.expect_err("stopped").kind(), ErrorKind::Unavailable);
    assert!(provider.exchanges() < 10);
}

#[tokio::test]
async fn panic_of_a_provider_returns_an_error_and_frees_the_lock() {
    let world = World::new();
    let provider = Scripted::new(|number, operation, _, request| match number {
        0 => std::panic::resume_unwind(Box::new(())),
        _ => Ok(issue(operation, request, "t", TimeDelta::hours(1))),
    });
    let broker = world.broker(provider);
    let error = broker.token(World::NAME, &TokenRequest::new()).await.expect_err("the provider panicked");
    assert_eq!(error.kind(), ErrorKind::Failed);
    broker.wait_idle().await;
    assert_eq!(get(&broker, &TokenRequest::new()).await, "t", "the next call works");
}

#[tokio::test]
async fn tokens_of_different_scopes_are_stored_separately() {
    let world = World::new();
    let provider = Scripted::new(|_, operation, _, request| {
        Ok(issue(operation, request, request.scopes().as_str(), TimeDelta::hours(1)))
    });
    let broker = world.broker(provider.clone());
    for (asked, key) in [(vec!["b", "a"], "a b"), (vec!["a", "b"], "a b"), (vec!["a"], "a")] {
        let request = asked.into_iter().fold(TokenRequest::new(), TokenRequest::scope);
        assert_eq!(get(&broker, &request).await, key);
    }
    assert_eq!(provider.exchanges(), 2);
    assert_eq!(broker.status(World::NAME).expect("a status").scopes, ["a", "a b"]);
}

#[tokio::test]
async fn five_second_token_is_renewed_before_expiry() {
    let world = World::new();
    let broker = world.broker(Scripted::numbered(TimeDelta::seconds(5)));
    let mut tokens = Vec::new();
    for _ in 0..10 {
        tokens.push(get(&broker, &TokenRequest::new()).await);
        world.clock.advance(TimeDelta::seconds(1));
    }
    // Five-second tokens are renewed 1.25 s before expiry, so a call each second renews at 4 s and 8 s.
    assert_eq!(tokens.join(" "), "0 0 0 0 1 1 1 1 2 2");
}

#[tokio::test]
async fn token_call_fails_if_token_of_another_scope_has_expired() {
    let provider = Scripted::new(|_, operation, _, _| {
        let expired = token(operation, "expired", TimeDelta::seconds(-1));
        Ok(RecordUpdate::token(&ScopeKey::default(), expired))
    });
    let world = World::new();
    let request = TokenRequest::new().scope("stac");
    let error = world.broker(provider.clone()).token(World::NAME, &request).await.expect_err("expired");
    assert_eq!(error.code(), ErrorCode::TokenExpired, "{error}");
    assert_eq!(provider.exchanges(), 1);
}

#[tokio::test]
async fn login_with_only_an_expired_token_keeps_the_stored_login() {
    let provider = Scripted::new(|number, operation, _, request| match number {
        0 => Ok(RecordUpdate::grant(Secret::new("old"), operation.now())),
        _ => Ok(issue(operation, request, "expired", TimeDelta::seconds(-1))),
    });
    let world = World::new();
    let broker = world.broker(provider);
    broker.login(World::NAME, Login::Usual).await.expect("logged in");
    let error = broker.login(World::NAME, Login::Usual).await.expect_err("expired");
    assert_eq!(error.code(), ErrorCode::TokenExpired, "{error}");
    assert_eq!(world.record().expect("a record")["grant"]["secret"], "old");
}

#[tokio::test]
async fn invalid_provider_names_are_refused() {
    let world = World::new();
    let broker = world.broker(Scripted::new(|_, _, _, _| Err(Error::failed("not asked"))));
    for name in ["", "..", "../subject", "a/b", "a\0b", "-a", &"a".repeat(65)] {
        let error = broker.token(name, &TokenRequest::new()).await.expect_err(name);
        assert_eq!(error.code(), ErrorCode::ProviderUnknown, "{name:?}");
    }
}

#[tokio::test]
async fn token_call_fails_if_the_new_token_cannot_be_saved() {
    let world = World::new();
    let path = world.record_path();
    let provider = Scripted::new(move |_, operation, _, request| {
        let folder = path.parent().expect("a folder");
        std::fs::remove_dir_all(folder).expect("the folder is removed");
        std::fs::write(folder, "").expect("a file instead of the folder");
        Ok(issue(operation, request, "t", TimeDelta::hours(1)))
    });
    let error = world.broker(provider).token(World::NAME, &TokenRequest::new()).await.expect_err("no save");
    assert_eq!(error.code(), ErrorCode::StoreUnwritable);
    let folder = world.record_path().parent().expect("a folder").display().to_string();
    let message = error.message();
    assert!(message.contains("cannot save the new token") && message.contains(&folder), "{error:?}");
    assert!(error.hint().is_some(), "{error:?}");
    std::fs::remove_file(world.record_path().parent().expect("a folder")).expect("the file is removed");
}
