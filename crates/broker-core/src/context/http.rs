//! HTTP requests and responses. The program supplies the HTTP client.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::context::answer::decode;
use crate::context::{ServiceUrl, retry_after};
use crate::error::ErrorCode;
use crate::token::{Secret, sensitive, zeroizing};

/// An HTTP client. Implementations must not follow redirects, must read at most [`HttpResponse::LONGEST_BODY`] bytes,
/// and must return within `timeout`.
///
/// Two extensions are optional. Once connected, a client may ask [`SendCheck::allows`]. If a body ends early, a client may
/// return what arrived, with the [`HttpFault`] in the response's extensions.
///
/// ```
/// use broker_core::{ErrorCode, Http, HttpFault, HttpResponse, RequestSent};
/// use bytes::Bytes;
/// use http::{Request, Response};
///
/// struct Client(reqwest::Client); // with `redirect(Policy::none())`
///
/// #[async_trait::async_trait]
/// impl Http for Client {
///     async fn send(&self, request: Request<Bytes>, timeout: std::time::Duration) -> Result<Response<Bytes>, HttpFault> {
///         let fault = |error: reqwest::Error| {
///             let sent = if error.is_connect() { RequestSent::No } else { RequestSent::Maybe };
///             HttpFault::new(sent, ErrorCode::NetworkUnreachable, error.without_url().to_string())
///         };
///         let mut request = reqwest::Request::try_from(request).map_err(fault)?;
///         *request.timeout_mut() = Some(timeout);
///         let mut response = self.0.execute(request).await.map_err(fault)?;
///         let mut body = Vec::new();
///         while let Some(chunk) = response.chunk().await.map_err(fault)?.filter(|_| body.len() < HttpResponse::LONGEST_BODY) {
///             body.extend_from_slice(&chunk);
///         }
///         let mut answer = Response::new(body.into());
///         *answer.status_mut() = response.status();
///         *answer.headers_mut() = std::mem::take(response.headers_mut());
///         Ok(answer)
///     }
/// }
/// ```
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends a request once, without retries. `Debug` of the request shows the secrets in its body.
    async fn send(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, HttpFault>;
}

/// Why a request got no response.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}")]
#[non_exhaustive]
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
#[non_exhaustive]
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

/// Tells whether a refresh token is still the newest, right before it is sent. Fails if that cannot be read.
pub type LoginCheck = Arc<dyn Fn() -> crate::error::Result<bool> + Send + Sync>;

/// The last check of a request's refresh token, in the extensions of the [`http::Request`].
#[derive(Clone)]
pub struct SendCheck(pub(crate) Arc<dyn Fn() -> bool + Send + Sync>);

impl SendCheck {
    /// Whether the request's refresh token is still the newest. HTTP clients ask after they have connected, right before
    /// the first byte. If the answer is false, they send nothing and return a fault with [`RequestSent::No`]. The broker
    /// asks before it calls a client, so a client that does not ask is only less likely to notice a replaced token.
    pub fn allows<B>(request: &http::Request<B>) -> bool {
        request.extensions().get().is_none_or(|Self(check)| check())
    }
}

/// An HTTP request. `Debug` shows only the method and URL, because the request contains secrets.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpRequest {
    /// The request's URL.
    pub url: ServiceUrl,
    /// When the broker may repeat the request.
    pub repeat: Repeat,
    /// The fault if the URL or a header is invalid in HTTP.
    sent: Result<http::Request<Bytes>, HttpFault>,
    /// The field that [`HttpRequest::with_salvage`] named.
    pub(crate) salvage: Option<String>,
}

impl HttpRequest {
    /// Creates a request without a body, which accepts JSON.
    #[must_use]
    pub fn new(method: Method, url: ServiceUrl, repeat: Repeat) -> Self {
        let request = http::Request::builder().method(method).uri(url.as_str());
        let request = request.header(ACCEPT, "application/json").header(ACCEPT_ENCODING, "identity");
        let sent = request.body(Bytes::new()).map_err(|_| invalid());
        Self { url, repeat, sent, salvage: None }
    }

    /// Creates a POST request with form fields.
    #[must_use]
    pub fn post_form(url: ServiceUrl, fields: &[(&str, &str)], repeat: Repeat) -> Self {
        // URL encoding at most triples the length. A buffer that grows would leave copies of secrets in memory.
        let longest = fields.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
        let mut form = form_urlencoded::Serializer::new(String::with_capacity(longest));
        let body = form.extend_pairs(fields).finish().into_bytes();
        Self::post(url, "application/x-www-form-urlencoded", Zeroizing::new(body), repeat)
    }

    /// Creates a POST request with a JSON object of strings.
    #[must_use]
    pub fn post_json(url: ServiceUrl, fields: &[(&str, &str)], repeat: Repeat) -> Self {
        Self::post_value(url, &fields.iter().copied().collect::<BTreeMap<_, _>>(), repeat)
    }

    /// Creates a POST request with a JSON value. The body is empty if the value cannot be JSON.
    #[must_use]
    pub fn post_value(url: ServiceUrl, value: &impl Serialize, repeat: Repeat) -> Self {
        Self::post(url, "application/json", zeroizing::json(value, false).unwrap_or_default(), repeat)
    }

    fn post(url: ServiceUrl, content_type: &'static str, body: Zeroizing<Vec<u8>>, repeat: Repeat) -> Self {
        let mut request = Self::new(Method::POST, url, repeat);
        if let Ok(sent) = &mut request.sent {
            sent.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            *sent.body_mut() = Bytes::from_owner(body);
        }
        request
    }

    /// Returns the request for an HTTP client. Fails if the URL or a header is invalid in HTTP.
    pub fn to_http(&self) -> Result<http::Request<Bytes>, HttpFault> {
        self.sent.clone()
    }

    /// Adds a bearer token to the request (RFC 6750 section 2.1).
    #[must_use]
    pub fn with_bearer(self, token: &Secret) -> Self {
        self.with_secret(Some(AUTHORIZATION), &["Bearer ", token.expose()])
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
    pub fn with_basic_pair(self, pair: &[u8]) -> Self {
        self.with_secret(Some(AUTHORIZATION), &["Basic ", &Zeroizing::new(STANDARD.encode(pair))])
    }

    /// Returns the base64 text of `username:password` for a Basic header, without form encoding (RFC 7617 section 2).
    /// `username` must not contain a colon.
    pub fn basic_pair(username: &str, password: &Secret) -> Secret {
        let pair = Zeroizing::new([username, ":", password.expose()].concat());
        Secret::new(STANDARD.encode(pair.as_bytes()))
    }

    /// Sets a header of the request. The value may be a secret.
    #[must_use]
    pub fn with_header(self, name: &str, value: &str) -> Self {
        self.with_secret(name.parse().ok(), &[value])
    }

    fn with_secret(mut self, name: Option<HeaderName>, parts: &[&str]) -> Self {
        self.sent = self.sent.and_then(|mut sent| {
            let (name, value) = name.zip(sensitive(parts)).ok_or_else(invalid)?;
            sent.headers_mut().insert(name, value);
            Ok(sent)
        });
        self
    }

    /// Names the field of the JSON response whose value must not be lost, such as `refresh_token` or `data.rt`. An
    /// incomplete response that contains the field is returned, and the request is not repeated.
    #[must_use]
    pub fn with_salvage(mut self, path: &str) -> Self {
        self.salvage = Some(path.to_owned());
        self
    }

    /// Whether the request contains nothing but its URL, so no secret.
    pub(crate) fn is_bare(&self) -> bool {
        let is_bare = |sent: &http::Request<Bytes>| {
            sent.body().is_empty() && !sent.headers().values().any(HeaderValue::is_sensitive)
        };
        self.sent.as_ref().is_ok_and(is_bare)
    }

    /// Returns the value of the `Authorization` header.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.sent.as_ref().ok()?.headers().get(AUTHORIZATION)
    }
}

fn invalid() -> HttpFault {
    let what = "the URL or the secret contains characters that HTTP does not allow".to_owned();
    HttpFault::new(RequestSent::No, ErrorCode::BadResponse, what)
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sent.as_ref().map_or(&Method::POST, http::Request::method), self.url)
    }
}

/// An HTTP response. `Debug` shows only the status, because the response may contain secrets.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpResponse {
    /// The response's HTTP status code.
    pub status: u16,
    /// The response's headers.
    pub headers: HeaderMap,
    /// The response's body, at most 1 MiB.
    pub body: Bytes,
    /// When the request was sent, by this machine's clock.
    pub sent_at: DateTime<Utc>,
    /// Why the body is incomplete. `None` if the body is complete.
    pub cut: Option<HttpFault>,
}

impl HttpResponse {
    /// The longest body that is read: 1 MiB.
    pub const LONGEST_BODY: usize = 1024 * 1024;

    /// Creates a response from an HTTP client's, to a request that was sent at `sent_at`.
    #[must_use]
    pub fn new(response: http::Response<Bytes>, sent_at: DateTime<Utc>) -> Self {
        let (mut parts, body) = response.into_parts();
        let cut = parts.extensions.remove();
        Self { status: parts.status.as_u16(), headers: parts.headers, body, sent_at, cut }
    }

    /// Returns the response with another body, which is complete.
    #[must_use]
    pub fn with_body(self, body: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self { body: Bytes::from_owner(body.into()), cut: None, ..self }
    }

    /// Returns the last value of a header that is visible ASCII text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).last()
    }

    /// Iterates over the values of a header that are visible ASCII text. The header `set-cookie` often has several.
    pub fn header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// Returns the body if it is a JSON object.
    pub fn json(&self) -> Option<Map<String, Value>> {
        match self.json_value() {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        }
    }

    /// Returns the body if it is JSON, in UTF-8 or in another encoding that servers use.
    pub fn json_value(&self) -> Option<Value> {
        decode::json(self)
    }

    /// Whether the body is a web page, such as one from a proxy, captive portal or gateway.
    pub fn is_html(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
            || self.body.trim_ascii_start().starts_with(b"<")
    }

    /// Returns the `Date` header, which shows the service's clock.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        retry_after::date(self.header("date")?)
    }

    /// Returns the `Retry-After` header (RFC 9110 section 10.2.3), limited to 100 years. Accepts milliseconds and times
    /// since 1970, which some services send.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::read(self.header("retry-after")?, self.date().unwrap_or(self.sent_at))
    }

    /// Whether the status is a success: 2xx.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the status is transient: 5xx, 408 (timeout), 421 (misdirected), 425 (too early), 429, or 499 (a proxy:
    /// client closed the connection).
    pub fn is_transient(&self) -> bool {
        matches!(self.status, 408 | 421 | 425 | 429 | 499) || self.status >= 500
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)
    }
}
