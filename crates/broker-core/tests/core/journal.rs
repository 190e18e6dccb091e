//! The journal of a renewal, where its caller goes away or nothing could be sent at all.

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

/// A line that is cut after each request; whoever asked is sent away first, if there is somebody.
#[derive(Clone, Default)]
struct CutLine {
    sent: Arc<AtomicUsize>,
    caller: Arc<Mutex<Option<AbortHandle>>>,
}

#[async_trait]
impl Http for CutLine {
    async fn send(&self, _request: &HttpRequest, _timeout: Duration) -> Result<HttpResponse, HttpFault> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        if let Some(caller) = &*self.caller.lock().expect("the caller") {
            caller.abort();
        }
        // Until the caller is gone.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        Err(HttpFault {
            sent: RequestSent::Maybe,
            code: ErrorCode::NetworkUnreachable,
            what: "cut".to_owned(),
        })
    }
}

/// A provider that refreshes, or is told at once to leave the service alone.
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
            return Err(Error::login_required("there is no login"));
        }
        if self.throttled {
            return Err(Error::unavailable("429").with_retry_after(Some(Duration::from_hours(1))));
        }
        let url = ServiceUrl::parse("https://example.org/token").expect("a URL");
        context.send(&HttpRequest::post_form(url, &[], Repeat::SpendsGrant)).await?;
        Err(Error::unavailable("an answer that cannot come"))
    }

    async fn login(&self, context: &Context, _login: &Login) -> Result<RecordUpdate> {
        Ok(RecordUpdate::grant(Secret::new("grant"), context.now()))
    }

    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }
}

fn broker(line: &CutLine, throttled: bool) -> (TempDir, Broker) {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, env, person) = (TestClock::new(), TestEnv::default(), TestPrompt::default());
    let context = Context::new(Arc::new(line.clone()), Arc::new(clock), Arc::new(env), Arc::new(person));
    let provider: Arc<dyn Provider> = Arc::new(Refreshing { issuer: issuer(), throttled });
    let catalog = BTreeMap::from([("a".to_owned(), Entry::new(provider))]);
    let broker = Broker::builder(catalog, Arc::new(FileStore::new(folder.path())), context).build();
    (folder, broker)
}

fn record(folder: &TempDir) -> Value {
    let bytes = std::fs::read(folder.path().join("a.json")).expect("a record");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn a_lost_answer_stays_noted_when_the_caller_goes_away() {
    for goes_away in [false, true] {
        let line = CutLine::default();
        let (folder, broker) = broker(&line, false);
        broker.login("a", Login::Usual).await.expect("a login");
        let asking = tokio::spawn({
            let broker = broker.clone();
            async move { broker.token("a", &TokenRequest::new()).await }
        });
        *line.caller.lock().expect("the caller") = goes_away.then(|| asking.abort_handle());
        assert_eq!(asking.await.is_err(), goes_away);
        broker.wait_idle().await;
        assert!(record(&folder)["grant"]["sent_at"].is_string(), "goes away: {goes_away}");
        let sent = if goes_away { 1 } else { 2 };
        assert_eq!(line.sent.load(Ordering::SeqCst), sent, "nothing more for who is gone");
    }
}

#[tokio::test]
async fn what_fails_after_a_login_is_put_on_record_too() {
    let (folder, broker) = broker(&CutLine::default(), true);
    let error = broker.token_or_login("a", &TokenRequest::new()).await.expect_err("too many requests");
    assert!(error.is_transient(), "{error}");
    let record = record(&folder);
    assert!(record["grant"]["sent_at"].is_null(), "nothing was sent: {record}");
    assert!(record["failures"][""]["resume_at"].is_string(), "{record}");
}
