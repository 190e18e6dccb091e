//! Tests of the refresh intent: `sent_at`, which the broker saves in the record before it sends a refresh token.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Context, Error, ErrorCode, Http, HttpFault, HttpRequest, Login, LoginMethod, Operation, Provider,
    ProviderInfo, Record, RecordUpdate, Repeat, RequestSent, Result, Secret, ServiceUrl, TokenRequest,
};
use broker_testkit::{TestEnv, TestPrompt, World};
use bytes::Bytes;
use chrono::TimeDelta;
use tokio::task::AbortHandle;

use crate::broker::{Scripted, issue};
use crate::{builder, files, info};

/// A fake HTTP client whose responses are all lost. First cancels the task `caller`, if set.
#[derive(Clone, Default)]
struct LostConnection {
    sent: Arc<AtomicUsize>,
    caller: Arc<Mutex<Option<AbortHandle>>>,
}

#[async_trait]
impl Http for LostConnection {
    async fn send(
        &self,
        _request: http::Request<Bytes>,
        _timeout: Duration,
    ) -> Result<http::Response<Bytes>, HttpFault> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        if let Some(caller) = &*self.caller.lock().expect("the caller") {
            caller.abort();
        }
        // Yields, so that the runtime can cancel the task that requested the token.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        Err(HttpFault::new(RequestSent::Maybe, ErrorCode::NetworkUnreachable, "lost".to_owned()))
    }
}

/// A provider that sends a refresh request each time the broker needs a token.
struct Refreshing(ProviderInfo);

#[async_trait]
impl Provider for Refreshing {
    fn info(&self) -> &ProviderInfo {
        &self.0
    }

    async fn exchange(
        &self,
        operation: &Operation,
        _record: &Record,
        _request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let url = ServiceUrl::parse("https://example.org/token").expect("a URL");
        operation.send(&HttpRequest::post_form(url, &[], Repeat::SpendsGrant)).await?;
        Err(Error::unavailable("no response is possible"))
    }

    async fn login(&self, operation: &Operation, _login: &Login) -> Result<RecordUpdate> {
        Ok(RecordUpdate::grant(Secret::new("grant"), operation.now()))
    }
}

fn broker(world: &World, connection: &LostConnection) -> Broker {
    let (clock, http) = (Arc::new(world.clock.clone()), Arc::new(connection.clone()));
    let context = Context::new(http, clock, Arc::<TestEnv>::default(), Arc::<TestPrompt>::default());
    let provider = Arc::new(Refreshing(info(&[LoginMethod::Interactive])));
    builder([(World::NAME, provider)], Arc::new(files(world)), context).build()
}

#[tokio::test]
async fn record_keeps_request_time_if_response_is_lost() {
    for cancelled in [false, true] {
        let (world, connection) = (World::new(), LostConnection::default());
        let broker = broker(&world, &connection);
        broker.login(World::NAME, Login::Usual).await.expect("a login");
        let call = tokio::spawn({
            let broker = broker.clone();
            async move { broker.token(World::NAME, &TokenRequest::new()).await }
        });
        *connection.caller.lock().expect("the caller") = cancelled.then(|| call.abort_handle());
        assert_eq!(call.await.is_err(), cancelled);
        broker.wait_idle().await;
        assert!(world.record().expect("a record")["grant"]["sent_at"].is_string(), "cancelled: {cancelled}");
        let sent = if cancelled { 1 } else { 2 };
        assert_eq!(connection.sent.load(Ordering::SeqCst), sent, "a cancelled caller sends no more");
    }
}

#[tokio::test]
async fn record_contains_failure_of_token_request_after_login() {
    let world = World::new();
    let provider = Scripted::new(|number, operation, _, _| match number {
        0 => Err(Error::login_required("not logged in")),
        1 => Ok(RecordUpdate::grant(Secret::new("grant"), operation.now())),
        _ => Err(Error::unavailable("429").with_retry_after(Some(Duration::from_hours(1)))),
    });
    let login = world
        .broker(provider)
        .provider(World::NAME)
        .expect("a provider")
        .token_or_login(&TokenRequest::new())
        .await;
    let error = login.expect_err("too many requests");
    assert!(error.is_transient(), "{error}");
    let record = world.record().expect("a record");
    assert!(record["grant"]["sent_at"].is_null(), "no request was sent: {record}");
    assert!(record["failures"][""]["resume_at"].is_string(), "{record}");
}

async fn turns(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

/// A provider whose exchange takes several turns of the runtime.
struct Slow(ProviderInfo);

#[async_trait]
impl Provider for Slow {
    fn info(&self) -> &ProviderInfo {
        &self.0
    }

    async fn exchange(
        &self,
        operation: &Operation,
        _: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        turns(10).await;
        let update = issue(operation, request, "token", TimeDelta::hours(1));
        Ok(update.and_grant(Secret::new("new"), operation.now()))
    }

    async fn login(&self, operation: &Operation, _login: &Login) -> Result<RecordUpdate> {
        Ok(RecordUpdate::grant(Secret::new("old"), operation.now()))
    }
}

#[test]
fn dropped_runtime_ends_a_renewal_unless_it_waits() {
    for waits in [false, true] {
        let world = World::new();
        let broker = world.broker(Arc::new(Slow(info(&[LoginMethod::Interactive]))));
        let new_runtime =
            || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        new_runtime().block_on(broker.login(World::NAME, Login::Usual)).expect("a login");
        let request = TokenRequest::new();
        new_runtime().block_on(async {
            tokio::select! {
                biased;
                _ = broker.token(World::NAME, &request) => panic!("the caller stops waiting first"),
                () = turns(4) => {}
            }
            if waits {
                broker.wait_idle().await;
            }
        });
        let grant = world.record().expect("a record")["grant"].take();
        let (secret, is_open) = if waits { ("new", false) } else { ("old", true) };
        assert_eq!((&grant["secret"], grant["sent_at"].is_string()), (&secret.into(), is_open), "{grant}");
        new_runtime().block_on(broker.token(World::NAME, &request)).expect("a token");
    }
}
