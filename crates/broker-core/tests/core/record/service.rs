//! Fake services of two issuers, which rotate refresh tokens and detect reuse, and a provider for these services.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use broker_core::{
    Error, ErrorCode, Http, HttpFault, HttpRequest, HttpResponse, Issuer, Login, LoginMethod, Operation,
    Problem, Provider, ProviderInfo, Record, RecordUpdate, Repeat, RequestSent, Result, Revoked, Secret,
    ServiceUrl, Token, TokenRequest, read_object,
};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::http_response;

pub(super) const ISSUERS: [&str; 2] = ["https://a.example/token", "https://b.example/token"];

const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// A fault that the test injects into one request to a fake service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection fails, so the service gets no request.
    Unreached,
    /// The service responds with HTTP 503 and issues no tokens.
    Busy,
    /// The service issues tokens, but the response is lost.
    Lost,
    /// The service issues tokens, but only half of the response arrives.
    Torn,
    /// The service refuses the refresh token and ends the login, as after a revocation.
    Ended,
    /// The service refuses the request, but the refresh token stays valid.
    Denied,
    /// The response has a new refresh token but no access token.
    OnlyRotated,
    /// The response has an access token but no new refresh token, so the old refresh token stays valid.
    NotRotated,
    /// The record folder disappears while the service issues tokens, so the save fails.
    NoFolder,
    /// The process that sent the request is killed before the service issues tokens.
    DiesBefore,
    /// The process that sent the request is killed after the service has issued tokens.
    DiesAfter,
}

/// A login at a service: a chain of refresh tokens, of which only the newest is valid.
pub(super) struct Family {
    pub(super) issuer: usize,
    pub(super) current: String,
    pub(super) ended: bool,
    /// Whether a lost response contained the newest refresh token. The record file may then contain an older one.
    pub(super) excused: bool,
}

/// The state of the fake services of the two [`ISSUERS`], and the invariants that the broker has violated.
#[derive(Default)]
pub(super) struct Service {
    pub(super) families: Vec<Family>,
    issued: u64,
    in_flight: usize,
    pub(super) fault: Option<Fault>,
    /// Descriptions of the violated invariants.
    pub(super) wrong: Vec<String>,
    /// All access tokens that were ever in the record file.
    on_disk: BTreeSet<String>,
    folder: PathBuf,
}

impl Service {
    /// Returns a refresh token's number and the index of its family; `None` for a token that no service issued.
    pub(super) fn find(&self, grant: &str) -> Option<(u64, usize)> {
        let (number, family) = grant.strip_prefix('r')?.split_once(".f")?;
        let index = family.parse().ok().filter(|index| *index < self.families.len())?;
        Some((number.parse().ok()?, index))
    }

    /// Begins a test step. `fault` applies to the first request of the step.
    pub(super) fn begin(&mut self, fault: Option<Fault>) {
        self.read_disk();
        self.fault = fault;
    }

    /// Remembers the access tokens that are in the record file now.
    pub(super) fn read_disk(&mut self) {
        let text = std::fs::read_to_string(self.folder.join("subject.json")).unwrap_or_default();
        self.on_disk.extend(text.split('"').filter(|word| word.starts_with("t-")).map(str::to_owned));
    }

    /// Checks a token that a caller of the broker got for an issuer.
    pub(super) fn check_token(&mut self, token: &Token, issuer: usize, now: DateTime<chrono::Utc>) {
        let secret = token.secret().expose();
        if !self.on_disk.contains(secret) {
            self.wrong.push(format!("{secret} was returned but never saved"));
        }
        if !secret.ends_with(&format!("-{issuer}")) {
            self.wrong.push(format!("{secret} was returned for issuer {issuer}"));
        }
        if token.expires_at().is_none_or(|end| end <= now) {
            self.wrong.push(format!("{secret} was returned after its expiry"));
        }
    }

    fn issue(&mut self, family: usize, fault: Option<Fault>) -> Value {
        self.issued += 1;
        let Family { issuer, current, .. } = &mut self.families[family];
        let mut response = json!({});
        if fault != Some(Fault::OnlyRotated) {
            response["access_token"] = format!("t-{}-{issuer}", self.issued).into();
        }
        if fault != Some(Fault::NotRotated) || current.is_empty() {
            *current = format!("r{}.f{family}", self.issued);
            response["refresh_token"] = current.as_str().into();
        }
        response
    }

    /// Handles a request to the token endpoint.
    fn act(&mut self, issuer: usize, form: &HashMap<String, String>, fault: Option<Fault>) -> (u16, Value) {
        let refused = (400, json!({ "error": "invalid_grant" }));
        let Some(grant) = form.get("refresh_token") else {
            self.families.push(Family { issuer, current: String::new(), ended: false, excused: false });
            return (200, self.issue(self.families.len() - 1, fault));
        };
        let Some((_, index)) = self.find(grant) else { return refused };
        let family = &mut self.families[index];
        if family.issuer != issuer {
            self.wrong.push(format!("{grant} was sent to issuer {issuer}"));
            return refused;
        }
        let is_current = family.current == *grant;
        if !is_current && !family.excused {
            self.wrong.push(format!("{grant} was spent before"));
        }
        let losing = [Fault::Lost, Fault::Torn, Fault::NoFolder, Fault::DiesAfter];
        family.excused |= fault.is_some_and(|fault| losing.contains(&fault));
        family.ended |= !is_current || fault == Some(Fault::Ended) || form.contains_key("revoke");
        match fault {
            _ if form.contains_key("revoke") => (200, json!({})),
            Some(Fault::Denied) => (403, json!({ "error": "access_denied" })),
            _ if family.ended => refused,
            _ => (200, self.issue(index, fault)),
        }
    }
}

/// The HTTP connection to the fake services of the two [`ISSUERS`]. Clones share the services' state.
#[derive(Clone, Default)]
pub(super) struct Wire {
    service: Arc<Mutex<Service>>,
    /// Notified by the fake services when the test must kill the process that sent a request.
    pub(super) dies: Arc<Notify>,
}

impl Wire {
    pub(super) fn new(folder: PathBuf) -> Self {
        let service = Service { folder, ..Service::default() };
        Self { service: Arc::new(Mutex::new(service)), dies: Arc::default() }
    }

    pub(super) fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap()
    }

    async fn die(&self) -> Result<http::Response<Bytes>, HttpFault> {
        self.dies.notify_one();
        std::future::pending().await
    }

    fn fault(sent: RequestSent) -> HttpFault {
        let is_late = sent == RequestSent::Maybe;
        let code = if is_late { ErrorCode::Timeout } else { ErrorCode::NetworkUnreachable };
        HttpFault::new(sent, code, "a fault".to_owned())
    }
}

/// A running HTTP request. If a killed process drops this value, the request ends.
struct Flight(Wire);

impl Flight {
    fn begin(wire: &Wire) -> (Self, Option<Fault>) {
        let mut service = wire.service();
        service.read_disk();
        service.in_flight += 1;
        if service.in_flight > 1 {
            service.wrong.push("two exchanges at a time".to_owned());
        }
        let fault = service.fault.take();
        (Self(wire.clone()), fault)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.service().in_flight -= 1;
    }
}

#[async_trait]
impl Http for Wire {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _timeout: Duration,
    ) -> Result<http::Response<Bytes>, HttpFault> {
        let (_flight, fault) = Flight::begin(self);
        tokio::task::yield_now().await;
        let issuer = ISSUERS.iter().position(|url| request.uri() == *url).unwrap();
        let form = url::form_urlencoded::parse(request.body()).into_owned().collect();
        let (status, mut body) = match fault {
            Some(Fault::Unreached) => return Err(Self::fault(RequestSent::No)),
            Some(Fault::DiesBefore) => return self.die().await,
            Some(Fault::Busy) => (503, Value::Null),
            _ => self.service().act(issuer, &form, fault),
        };
        tokio::task::yield_now().await;
        match fault {
            Some(Fault::Lost) => return Err(Self::fault(RequestSent::Maybe)),
            Some(Fault::DiesAfter) => return self.die().await,
            Some(Fault::Torn) => body = Value::String("torn".to_owned()),
            Some(Fault::NoFolder) => {
                let folder = self.service().folder.clone();
                std::fs::rename(&folder, folder.with_extension("away")).unwrap();
            }
            _ => {}
        }
        Ok(http_response(status, &[], &body.to_string()))
    }
}

/// A provider that uses the fake service of one of the two [`ISSUERS`].
pub(super) struct Subject {
    info: ProviderInfo,
    url: ServiceUrl,
}

impl Subject {
    pub(super) fn new(issuer: usize) -> Self {
        let issuer = Issuer::new("test", "password", ISSUERS[issuer]);
        let url = ServiceUrl::parse(&issuer.endpoint).unwrap();
        let mut info = ProviderInfo::new(issuer);
        info.logins = vec![LoginMethod::Interactive];
        Self { info, url }
    }

    async fn post(&self, operation: &Operation, fields: &[(&str, &str)]) -> Result<HttpResponse> {
        operation.send(&HttpRequest::post_form(self.url.clone(), fields, Repeat::IfNotActed)).await
    }

    /// Converts a token response to a record update; `None` if the service refused the refresh token.
    fn read(&self, response: &HttpResponse, request: &TokenRequest) -> Result<Option<RecordUpdate>> {
        let object = match read_object(response, &self.url, &[]) {
            Ok(object) => object,
            Err(Problem::Refused(refusal)) if refusal.is("invalid_grant") => return Ok(None),
            Err(problem) => return Err(problem.error("the service refused")),
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(Secret::new);
        let mut update = RecordUpdate::default();
        if let Some(access) = text("access_token") {
            let token = Token::from_response(response, access, None::<TimeDelta>, LIFETIME);
            update = update.and_token(request.scopes(), token);
        }
        if let Some(grant) = text("refresh_token") {
            update = update.and_grant(grant, response.sent_at);
        }
        Ok(Some(update))
    }
}

#[async_trait]
impl Provider for Subject {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    fn check(&self, _request: &TokenRequest, _now: DateTime<chrono::Utc>) -> Result<()> {
        Ok(())
    }

    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let grant = record.usable_grant().ok_or_else(|| Error::login_required("not logged in"))?;
        let response = self.post(operation, &[("refresh_token", grant.secret().expose())]).await?;
        Ok(self.read(&response, request)?.unwrap_or_else(RecordUpdate::grant_refused))
    }

    async fn login(&self, operation: &Operation, _login: &Login) -> Result<RecordUpdate> {
        let response = self.post(operation, &[("password", "p")]).await?;
        self.read(&response, &TokenRequest::new())?.ok_or_else(|| Error::refused("a wrong password"))
    }

    async fn revoke(&self, operation: &Operation, record: &Record) -> Result<Revoked> {
        let Some(grant) = record.usable_grant() else { return Ok(Revoked::default()) };
        let fields = [("refresh_token", grant.secret().expose()), ("revoke", "yes")];
        let response = self.post(operation, &fields).await?;
        match response.status {
            200 => Ok(Revoked::new(true, None)),
            other => Err(Error::unavailable(format!("HTTP {other}"))),
        }
    }
}
