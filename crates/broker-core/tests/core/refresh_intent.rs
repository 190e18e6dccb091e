//! Tests of the note that is saved before each refresh request: the caller stops waiting, or no request is sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Broker, Context, Entry, Error, ErrorCode, FileStore, Http, HttpFault, HttpRequest, HttpResponse, Issuer,
    Login, Provider, Record, RecordUpdate, Repeat, RequestSent, Result, Revoked, Secret, ServiceUrl,
    TokenRequest,
};
use broker_testkit::{TestClock, TestEnv, TestPrompt};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::AbortHandle;

use crate::issuer;

/// An HTTP client whose responses are always lost. If `caller` is set, that task is cancelled first.
#[derive(Clone, Default)]
struct LostConnection {
    sent: Arc<AtomicUsize>,
    caller: Arc<Mutex<Option<AbortHandle>>>,
}

#[async_trait]
impl Http for LostConnection {
    async fn send(&self, _request: &HttpRequest, _timeout: Duration) -> Result<HttpResponse, HttpFault> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        if let Some(caller) = &*self.caller.lock().expect("the caller") {
            caller.abort();
        }
        // Gives the runtime time to cancel the caller.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        Err(HttpFault {
            sent: RequestSent::Maybe,
            code: ErrorCode::NetworkUnreachable,
            what: "lost".to_owned(),
        })
    }
}

/// A provider that refreshes its token, or whose service asks for a pause.
struct Refreshing {
    issuer: Issuer,
    throttled: bool,
}

#[async_trait]
impl Provider for Refreshing {
    fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        _request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        if record.usable_grant().is_none() {
            return Err(Error::login_required("not logged in"));
        }
        if self.throttled {
            return Err(Error::unavailable("429").with_retry_after(Some(Duration::from_hours(1))));
        }
        let url = ServiceUrl::parse("https://example.org/token").expect("a URL");
        context.send(&HttpRequest::post_form(url, &[], Repeat::SpendsGrant)).await?;
        Err(Error::unavailable("no response is possible"))
    }

    async fn login(&self, context: &Context, _login: &Login) -> Result<RecordUpdate> {
        Ok(RecordUpdate::grant(Secret::new("grant"), context.now()))
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }
}

fn broker(connection: &LostConnection, throttled: bool) -> (TempDir, Broker) {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, env, prompt) = (TestClock::new(), TestEnv::default(), TestPrompt::default());
    let context =
        Context::new(Arc::new(connection.clone()), Arc::new(clock), Arc::new(env), Arc::new(prompt));
    let provider: Arc<dyn Provider> = Arc::new(Refreshing { issuer: issuer(), throttled });
    let registry = BTreeMap::from([("a".to_owned(), Entry::new(provider))]);
    let broker = Broker::builder(registry, Arc::new(FileStore::new(folder.path())), context).build();
    (folder, broker)
}

fn record(folder: &TempDir) -> Value {
    let bytes = std::fs::read(folder.path().join("a.json")).expect("a record");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn refresh_intent_stays_after_a_lost_response() {
    for cancelled in [false, true] {
        let connection = LostConnection::default();
        let (folder, broker) = broker(&connection, false);
        broker.login("a", Login::Usual).await.expect("a login");
        let call = tokio::spawn({
            let broker = broker.clone();
            async move { broker.token("a", &TokenRequest::new()).await }
        });
        *connection.caller.lock().expect("the caller") = cancelled.then(|| call.abort_handle());
        assert_eq!(call.await.is_err(), cancelled);
        broker.wait_idle().await;
        assert!(record(&folder)["grant"]["sent_at"].is_string(), "cancelled: {cancelled}");
        let sent = if cancelled { 1 } else { 2 };
        assert_eq!(connection.sent.load(Ordering::SeqCst), sent, "a cancelled caller sends no more");
    }
}

#[tokio::test]
async fn failure_of_token_request_after_login_is_stored() {
    let (folder, broker) = broker(&LostConnection::default(), true);
    let error = broker.token_or_login("a", &TokenRequest::new()).await.expect_err("too many requests");
    assert!(error.is_transient(), "{error}");
    let record = record(&folder);
    assert!(record["grant"]["sent_at"].is_null(), "no request was sent: {record}");
    assert!(record["failures"][""]["resume_at"].is_string(), "{record}");
}
