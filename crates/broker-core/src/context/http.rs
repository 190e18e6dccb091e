//! HTTP requests and responses. The program supplies the HTTP client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::context::answer::decode;
use crate::context::{ServiceUrl, retry_after};
use crate::error::ErrorCode;
use crate::token::{Secret, zeroizing};

/// An HTTP client. Implementations must not follow redirects, must read at most [`HttpResponse::LONGEST_BODY`] bytes,
/// must return within `timeout`, and should check [`HttpRequest::may_send`] after they have connected. If a body ends
/// early, they return what arrived, with [`HttpResponse::cut`].
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends a request once, without retries.
    async fn send(&self, request: &HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpFault>;
}

/// Why a request got no response.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
pub struct HttpFault {
    /// Whether the request may have reached the service.
    pub sent: RequestSent,
    /// The error code: of kind [`crate::error::ErrorKind::Unavailable`], or [`ErrorCode::ProxyInvalid`].
    pub code: ErrorCode,
    /// What failed, without the URL's query, which may contain secrets.
    pub what: String,
    /// What the user can do, if that depends on more than the code.
    pub hint: Option<String>,
}

impl HttpFault {
    /// Creates a fault without a hint.
    #[must_use]
    pub fn new(sent: RequestSent, code: ErrorCode, what: String) -> Self {
        Self { sent, code, what, hint: None }
    }

    /// Whether the same request would fail again at once.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self.code, ErrorCode::ProxyInvalid | ErrorCode::ProxyFailed | ErrorCode::TlsUntrusted)
    }

    /// Sets what the user can do.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Whether a request reached the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestSent {
    /// No connection was made, so the service did not process the request.
    No,
    /// The request may have reached the service, which may have processed it.
    Maybe,
}

/// When the broker automatically repeats a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Repeats a request that the service did not process (no connection, 429). For requests that create a token.
    IfNotActed,
    /// Repeats a request that the service did not process. If the connection is lost after the request was sent,
    /// repeats the request once, without a pause. For requests with refresh tokens: many services accept a replaced
    /// refresh token for a few more seconds.
    SpendsGrant,
    /// Repeats the request after any transient failure except a timeout. For requests that can be repeated without
    /// harm, such as client credentials.
    Safe,
    /// Never repeats the request automatically. The caller may repeat the request.
    Never,
}

/// The HTTP method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// Tells whether a refresh token is still the newest, right before it is sent. Fails if that cannot be read.
pub type LoginCheck = Arc<dyn Fn() -> crate::error::Result<bool> + Send + Sync>;

/// Tells whether a request may be sent: see [`HttpRequest::may_send`].
pub(crate) type SendCheck = Arc<dyn Fn() -> bool + Send + Sync>;

/// An HTTP request. `Debug` shows only the method and URL, because the request contains secrets.
#[derive(Clone)]
pub struct HttpRequest {
    /// The request's HTTP method.
    pub method: Method,
    /// The request's URL.
    pub url: ServiceUrl,
    /// The value of the `Content-Type` header.
    pub content_type: Option<&'static str>,
    /// The request's body, which may be empty.
    pub body: Zeroizing<Vec<u8>>,
    /// When the broker may repeat the request.
    pub repeat: Repeat,
    authorization: Option<Zeroizing<String>>,
    headers: Vec<(String, Zeroizing<String>)>,
    salvage: Option<String>,
    check: Option<SendCheck>,
}

impl HttpRequest {
    /// Creates a request without a body.
    #[must_use]
    pub fn new(method: Method, url: ServiceUrl, repeat: Repeat) -> Self {
        let body = Zeroizing::new(Vec::new());
        let (headers, authorization, content_type) = (Vec::new(), None, None);
        Self { method, url, content_type, body, repeat, authorization, headers, salvage: None, check: None }
    }

    /// Creates a POST request with form fields.
    #[must_use]
    pub fn post_form(url: ServiceUrl, fields: &[(&str, &str)], repeat: Repeat) -> Self {
        // URL encoding at most triples the length. A buffer that grows would leave copies of secrets in memory.
        let longest = fields.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
        let mut form = form_urlencoded::Serializer::new(String::with_capacity(longest));
        let body = form.extend_pairs(fields).finish().into_bytes();
        let content_type = Some("application/x-www-form-urlencoded");
        Self { content_type, body: Zeroizing::new(body), ..Self::new(Method::Post, url, repeat) }
    }

    /// Creates a POST request with a JSON object of strings.
    #[must_use]
    pub fn post_json(url: ServiceUrl, fields: &[(&str, &str)], repeat: Repeat) -> Self {
        Self::post_body(url, &fields.iter().copied().collect::<BTreeMap<_, _>>(), repeat)
    }

    /// Creates a POST request with a JSON value.
    #[must_use]
    pub fn post_value(url: ServiceUrl, value: &Value, repeat: Repeat) -> Self {
        Self::post_body(url, value, repeat)
    }

    fn post_body(url: ServiceUrl, fields: &impl Serialize, repeat: Repeat) -> Self {
        // The default is never used: maps of strings and JSON values always serialize.
        let body = zeroizing::json(fields, false).unwrap_or_default();
        let content_type = Some("application/json");
        Self { content_type, body, ..Self::new(Method::Post, url, repeat) }
    }

    pub(crate) fn with_check(mut self, check: SendCheck) -> Self {
        self.check = Some(check);
        self
    }

    #[cfg(feature = "reqwest")]
    pub(crate) fn check(&self) -> Option<SendCheck> {
        self.check.clone()
    }

    /// Whether the request's refresh token is still the newest. HTTP clients call this method after they have
    /// connected, right before the first byte. If it returns false, they send nothing and return a fault with
    /// [`RequestSent::No`].
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.check.as_ref().is_none_or(|check| check())
    }

    /// Adds a bearer token to the request (RFC 6750 section 2.1).
    #[must_use]
    pub fn with_bearer(mut self, token: &Secret) -> Self {
        self.authorization = Some(Zeroizing::new(["Bearer ", token.expose()].concat()));
        self
    }

    /// Adds client credentials as HTTP Basic, form-encoded first (RFC 6749 section 2.3.1). A blank becomes `%20`, which
    /// services with any decoder understand, unlike `+`.
    #[must_use]
    pub fn with_basic(self, client_id: &str, client_secret: &Secret) -> Self {
        let secret = client_secret.expose();
        let mut pair = Zeroizing::new(String::with_capacity(3 * (client_id.len() + secret.len()) + 1));
        for (separator, text) in [("", client_id), (":", secret)] {
            pair.push_str(separator);
            let encoded = form_urlencoded::byte_serialize(text.as_bytes());
            pair.extend(encoded.map(|part| if part == "+" { "%20" } else { part }));
        }
        self.with_basic_pair(pair.as_bytes())
    }

    /// Adds the bytes `USERNAME:PASSWORD` as HTTP Basic, without form encoding (RFC 7617 section 2).
    #[must_use]
    pub fn with_basic_pair(mut self, pair: &[u8]) -> Self {
        let encoded = Zeroizing::new(STANDARD.encode(pair));
        self.authorization = Some(Zeroizing::new(["Basic ", &encoded].concat()));
        self
    }

    /// Returns the base64 text of `username:password` for a Basic header, without form encoding (RFC 7617 section 2).
    /// `username` must not contain a colon.
    #[must_use]
    pub fn basic_pair(username: &str, password: &Secret) -> Secret {
        let pair = Zeroizing::new([username, ":", password.expose()].concat());
        Secret::new(STANDARD.encode(pair.as_bytes()))
    }

    /// Adds a header to the request. The value may be a secret.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), Zeroizing::new(value.to_owned())));
        self
    }

    /// Names the field of the JSON response whose value must not be lost, such as `refresh_token` or `data.rt`. An
    /// incomplete response that contains the field is returned, and the request is not repeated.
    #[must_use]
    pub fn with_salvage(mut self, path: &str) -> Self {
        self.salvage = Some(path.to_owned());
        self
    }

    /// Returns the field that [`HttpRequest::with_salvage`] named.
    pub(crate) fn salvage(&self) -> Option<&str> {
        self.salvage.as_deref()
    }

    /// Returns the headers that [`HttpRequest::with_header`] added, with names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the request contains nothing but its URL, so no secret.
    pub(crate) fn is_bare(&self) -> bool {
        self.body.is_empty() && self.authorization.is_none() && self.headers.is_empty()
    }

    /// Returns the value of the `Authorization` header.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(|value| value.as_str())
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.method, self.url)
    }
}

/// An HTTP response. `Debug` shows only the status, because the response may contain secrets.
pub struct HttpResponse {
    /// The response's HTTP status code.
    pub status: u16,
    /// The headers, with names in lower case. Several `set-cookie` headers are joined with line ends.
    pub headers: BTreeMap<String, String>,
    /// The response's body, at most 1 MiB.
    pub body: Zeroizing<Vec<u8>>,
    /// When [`crate::provider::Operation::send`] sent the request, by this machine's clock.
    pub sent_at: DateTime<Utc>,
    /// Why the body is incomplete. `None` if the body is complete.
    pub cut: Option<HttpFault>,
}

impl HttpResponse {
    /// The longest body that is read: 1 MiB.
    pub const LONGEST_BODY: usize = 1024 * 1024;

    /// Returns a header's value. `name` must be in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Returns the body if it is a JSON object.
    #[must_use]
    pub fn json(&self) -> Option<Map<String, Value>> {
        match self.json_value() {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// Returns the body if it is JSON, in UTF-8 or in another encoding that servers use.
    #[must_use]
    pub fn json_value(&self) -> Option<Value> {
        decode::json(self)
    }

    /// Whether the body is a web page, such as one from a proxy, captive portal or gateway.
    #[must_use]
    pub fn is_html(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
            || self.body.trim_ascii_start().starts_with(b"<")
    }

    /// Returns the `Date` header, which shows the service's clock.
    #[must_use]
    pub fn date(&self) -> Option<DateTime<Utc>> {
        retry_after::date(self.header("date")?)
    }

    /// Returns the `Retry-After` header (RFC 9110 section 10.2.3), limited to 100 years. Accepts milliseconds and times
    /// since 1970, which some services send.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::read(self.header("retry-after")?, self.date().unwrap_or(self.sent_at))
    }

    /// Whether the status is a success: 2xx.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the status is transient: 5xx, 408 (timeout), 421 (misdirected), 425 (too early), 429, or 499 (a proxy:
    /// client closed the connection).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 421 | 425 | 429 | 499) || self.status >= 500
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)
    }
}
