//! Recorded requests, responses and form data of the fake servers.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use url::form_urlencoded;

/// Test clients send this header to get an immediate response instead of a hang. The server does not record the header.
pub(crate) const HANG_HEADER: &str = "x-fake-server-hang";

/// A request that a fake server received.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The name of the matched route, or `none`.
    pub route: String,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query string without `?`, or an empty string.
    pub query: String,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Seen {
    pub(super) fn new(route: &str, head: &Parts, body: &[u8]) -> Self {
        let recorded = head.headers.iter().filter(|(name, _)| *name != HANG_HEADER);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            route: route.to_owned(),
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: recorded.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            body: text(body),
        }
    }

    /// Returns the fields of a form body. If a field is repeated, the last value wins.
    pub fn form(&self) -> BTreeMap<String, String> {
        form_fields(&self.body)
    }

    /// Parses the JSON body.
    ///
    /// # Panics
    /// If the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the request body should be JSON")
    }

    /// Returns the first header with this name, ignoring upper and lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the path after its last `/`.
    pub(super) fn last_segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the credentials in `Authorization`. The scheme is case-insensitive (RFC 9110 section 11.1).
    fn authorization(&self, scheme: &str) -> Option<&str> {
        let (sent, value) = self.header("authorization")?.split_once(' ')?;
        sent.eq_ignore_ascii_case(scheme).then(|| value.trim())
    }

    /// Returns the bearer token (RFC 6750 section 2.1).
    pub(super) fn bearer(&self) -> Option<&str> {
        self.authorization("bearer")
    }

    /// Returns client id and secret from HTTP Basic, in which both are form-encoded (RFC 6749 section 2.3.1).
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let (id, secret) = self.raw_basic()?;
        form_urlencoded::parse(format!("{id}={secret}").as_bytes()).into_owned().next()
    }

    /// Returns client id and secret from HTTP Basic as they are (RFC 7617).
    pub(super) fn raw_basic(&self) -> Option<(String, String)> {
        let decoded = STANDARD.decode(self.authorization("basic")?).ok()?;
        let pair = String::from_utf8(decoded).ok()?;
        pair.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
    }
}

/// A response of a fake server.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }.with_header("content-type", content_type)
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(super) fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    pub(super) fn html(status: u16, body: &str) -> Self {
        Self::new(status, "text/html; charset=utf-8", body)
    }

    /// Returns an error response of a token endpoint (RFC 6749 section 5.2).
    pub(super) fn oauth_error(status: u16, code: &str, description: &str) -> Self {
        let body = json!({"error": code, "error_description": description});
        Self::json(status, &body)
    }

    /// Returns the root of a STAC catalog.
    pub(super) fn stac_root(id: &str) -> Self {
        let root = json!({"type": "Catalog", "id": id, "stac_version": "1.0.0",
            "description": "fake server", "links": []});
        Self::json(200, &root)
    }

    pub(super) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Returns the response's bytes, cut in the middle of the body.
    pub(super) fn first_half(&self) -> Vec<u8> {
        let reason = StatusCode::from_u16(self.status).unwrap();
        let header = |(name, value): &(String, String)| format!("{name}: {value}\r\n");
        let headers: String = self.headers.iter().map(header).collect();
        let len = self.body.len();
        let head = format!("HTTP/1.1 {reason}\r\n{headers}content-length: {len}\r\n\r\n");
        let half = &self.body[..len / 2];
        [head.as_bytes(), half].concat()
    }
}

/// Sets a field of a JSON object if the value is present.
pub(super) fn put(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[name] = value.into();
    }
}

/// Parses `application/x-www-form-urlencoded` text.
pub(super) fn form_fields(text: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}
