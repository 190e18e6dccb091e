//! Tests of the broker with scripted providers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use broker_core::{
    Context, Error, ErrorCode, ErrorKind, Issuer, Login, Provider, Record, RecordUpdate, Result, Revoked,
    Secret, Token, TokenRequest,
};
use broker_testkit::World;
use chrono::{DateTime, TimeDelta, Utc};

use crate::issuer;

type Act = dyn Fn(usize, &Context, &Record, &TokenRequest) -> Result<RecordUpdate> + Send + Sync;

/// A provider whose closure returns the result of each exchange, given the number of the exchange.
pub(crate) struct Scripted {
    issuer: Issuer,
    exchanges: AtomicUsize,
    act: Box<Act>,
}

impl Scripted {
    pub(crate) fn new(
        act: impl Fn(usize, &Context, &Record, &TokenRequest) -> Result<RecordUpdate> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { issuer: issuer(), exchanges: AtomicUsize::new(0), act: Box::new(act) })
    }

    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Provider for Scripted {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    fn check(&self, _request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        Ok(())
    }

    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        (self.act)(self.exchanges.fetch_add(1, Ordering::SeqCst), context, record, request)
    }

    async fn login(&self, _context: &Context, _login: &Login) -> Result<RecordUpdate> {
        Err(Error::usage("no login"))
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }
}

pub(crate) fn token(context: &Context, name: &str, lifetime: TimeDelta) -> Token {
    Token::new(Secret::new(name), context.now(), context.now().checked_add_signed(lifetime))
}

#[tokio::test]
async fn broker_saves_each_exchange_before_the_next() {
    let world = World::new();
    let path = world.record_path();
    let provider = Scripted::new(move |number, context, record, request| {
        if number == 0 {
            return Ok(RecordUpdate::grant(Secret::new("a grant"), context.now()));
        }
        let saved = std::fs::read_to_string(&path).expect("the record is on the disk");
        assert!(saved.contains("a grant"), "the first exchange is saved");
        assert!(record.usable_grant().is_some(), "and in the record");
        Ok(RecordUpdate::token(request.scopes(), token(context, "t", TimeDelta::hours(1))))
    });
    let token = world.broker(provider).token(World::NAME, &TokenRequest::new()).await.expect("a token");
    assert_eq!(token.secret().expose(), "t");
}

#[tokio::test]
async fn provider_that_never_returns_a_token_fails() {
    let provider =
        Scripted::new(|_, context, _, _| Ok(RecordUpdate::grant(Secret::new("again"), context.now())));
    let error = World::new().broker(provider.clone()).token(World::NAME, &TokenRequest::new()).await;
    assert_eq!(error.expect_err("stopped").kind(), ErrorKind::Unavailable);
    assert!(provider.exchanges() < 10);
}

#[tokio::test]
async fn panic_of_a_provider_returns_an_error_and_frees_the_lock() {
    let world = World::new();
    let provider = Scripted::new(|number, context, _, request| match number {
        0 => std::panic::resume_unwind(Box::new(())),
        _ => Ok(RecordUpdate::token(request.scopes(), token(context, "t", TimeDelta::hours(1)))),
    });
    let broker = world.broker(provider);
    let error = broker.token(World::NAME, &TokenRequest::new()).await.expect_err("it panicked");
    assert_eq!(error.kind(), ErrorKind::Failed);
    broker.wait_idle().await;
    broker.token(World::NAME, &TokenRequest::new()).await.expect("the next call works");
}

#[tokio::test]
async fn tokens_of_different_scopes_are_stored_separately() {
    let world = World::new();
    let provider = Scripted::new(|_, context, _, request| {
        Ok(RecordUpdate::token(
            request.scopes(),
            token(context, request.scopes().as_str(), TimeDelta::hours(1)),
        ))
    });
    let broker = world.broker(provider.clone());
    for (asked, key) in [(vec!["b", "a"], "a b"), (vec!["a", "b"], "a b"), (vec!["a"], "a")] {
        let request = asked.into_iter().fold(TokenRequest::new(), TokenRequest::scope);
        assert_eq!(broker.token(World::NAME, &request).await.expect("a token").secret().expose(), key);
    }
    assert_eq!(provider.exchanges(), 2);
    assert_eq!(broker.status(World::NAME).expect("a status").scopes, ["a", "a b"]);
}

#[tokio::test]
async fn five_second_token_is_renewed_before_expiry() {
    let world = World::new();
    let provider = Scripted::new(|number, context, _, request| {
        Ok(RecordUpdate::token(request.scopes(), token(context, &number.to_string(), TimeDelta::seconds(5))))
    });
    let broker = world.broker(provider);
    let mut tokens = Vec::new();
    for _ in 0..10 {
        tokens.push(
            broker
                .token(World::NAME, &TokenRequest::new())
                .await
                .expect("a token")
                .secret()
                .expose()
                .to_owned(),
        );
        world.clock.advance(TimeDelta::seconds(1));
    }
    // Five-second tokens are renewed 1.25 s before expiry, so a call each second renews at 4 s and 8 s.
    assert_eq!(tokens.join(" "), "0 0 0 0 1 1 1 1 2 2");
}

#[tokio::test]
async fn cached_record_is_reloaded_after_a_second() {
    let world = World::new();
    let provider = Scripted::new(|number, context, _, request| {
        Ok(RecordUpdate::token(request.scopes(), token(context, &number.to_string(), TimeDelta::hours(1))))
    });
    let first = world.broker(provider.clone());
    let second = world.broker(provider);
    let get = async |broker: &broker_core::Broker, request: TokenRequest| {
        broker.token(World::NAME, &request).await.expect("a token").secret().expose().to_owned()
    };
    assert_eq!(get(&first, TokenRequest::new()).await, "0");
    assert_eq!(get(&second, TokenRequest::new().force()).await, "1");
    world.clock.advance(TimeDelta::seconds(2));
    assert_eq!(get(&first, TokenRequest::new()).await, "1", "the token of the other process");
}

#[tokio::test]
async fn token_call_fails_if_the_new_token_has_expired() {
    let provider = Scripted::new(|_, context, _, _| {
        Ok(RecordUpdate::token(
            &broker_core::ScopeKey::default(),
            token(context, "expired", TimeDelta::seconds(-1)),
        ))
    });
    let world = World::new();
    let request = TokenRequest::new().scope("stac");
    let error = world.broker(provider.clone()).token(World::NAME, &request).await.expect_err("expired");
    assert_eq!(error.code(), ErrorCode::TokenExpired, "{error}");
    assert_eq!(provider.exchanges(), 1);
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
