//! The messages of the plugin protocol, version 1: see docs/dev/plugin-protocol.md.

use std::collections::BTreeMap;

use broker_core::{Error, ErrorCode, Hint, Login, Record, TokenRequest, seconds};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The supported version of the plugin protocol.
pub(crate) const VERSION: u64 = 1;

/// The deepest nesting of a message. The record stores at most 64 levels of `kept`.
const MAX_DEPTH: usize = 64;

/// The first message of a plugin, or of a credential provider of cargo, which lists its protocol versions.
#[derive(Deserialize)]
pub(crate) struct Hello {
    pub(crate) v: Vec<u64>,
}

/// A request that the broker sends to a plugin.
#[derive(Serialize)]
pub(crate) struct Request<'a> {
    pub(crate) v: u64,
    pub(crate) action: &'static str,
    pub(crate) provider: &'a str,
    pub(crate) now: String,
    pub(crate) settings: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secrets: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<RecordView<'a>>,
    #[serde(rename = "request", skip_serializing_if = "Option::is_none")]
    pub(crate) requested: Option<RequestedToken<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login: Option<LoginMethod<'a>>,
}

/// The part of the provider's record that the broker sends to a plugin.
#[derive(Serialize)]
pub(crate) struct RecordView<'a> {
    account: Option<&'a str>,
    grant: Option<GrantView<'a>>,
    tokens: Vec<TokenView<'a>>,
    #[serde(rename = "kept")]
    metadata: Option<&'a Value>,
}

#[derive(Serialize)]
struct GrantView<'a> {
    secret: &'a str,
    /// When the grant was sent in an earlier request without a response. The service may have replaced the grant.
    sent_at: Option<String>,
}

#[derive(Serialize)]
struct TokenView<'a> {
    scopes: Vec<&'a str>,
    secret: &'a str,
    #[serde(rename = "type")]
    token_type: &'a str,
    scope: Option<&'a str>,
    issued_at: String,
    expires_at: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct RequestedToken<'a> {
    scopes: Vec<&'a str>,
    expires: Option<String>,
    min_ttl: Option<u64>,
    name: Option<&'a str>,
    force: bool,
}

/// How the user logs in.
#[derive(Serialize)]
pub(crate) struct LoginMethod<'a> {
    #[serde(rename = "with")]
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> RecordView<'a> {
    /// Creates the view of a record with the metadata at `key`. Omits a `sent_at` that this operation has set.
    pub(crate) fn new(record: &'a Record, key: &str, began_at: DateTime<Utc>) -> Self {
        let token = |(scopes, token): (&'a str, &'a broker_core::Token)| TokenView {
            scopes: scopes.split_whitespace().collect(),
            secret: token.secret().expose(),
            token_type: token.token_type(),
            scope: token.scope(),
            issued_at: rfc3339(token.issued_at()),
            expires_at: token.expires_at().map(rfc3339),
        };
        // The plugin does not get a grant that the service has refused.
        let grant = record.usable_grant().map(|grant| GrantView {
            secret: grant.secret().expose(),
            sent_at: grant.sent_at().filter(|at| *at < began_at).map(rfc3339),
        });
        let tokens = record.tokens().map(token).collect();
        Self { account: record.account(), grant, tokens, metadata: record.metadata(key) }
    }
}

impl<'a> RequestedToken<'a> {
    pub(crate) fn new(request: &'a TokenRequest, now: DateTime<Utc>) -> Self {
        Self {
            scopes: request.scopes().iter().collect(),
            expires: request.expires.and_then(|life| life.end(now)).map(rfc3339),
            min_ttl: request.min_ttl.map(|left| left.as_secs()),
            name: request.name.as_deref(),
            force: request.force,
        }
    }
}

impl<'a> LoginMethod<'a> {
    pub(crate) fn new(login: &'a Login) -> Self {
        let (method, secret) = match login {
            Login::RefreshToken(secret) => ("refresh_token", Some(secret.expose())),
            Login::Password(secret) => ("password", Some(secret.expose())),
            _ => ("usual", None),
        };
        Self { method, secret }
    }
}

/// Serializes a message as one line of JSON.
pub(crate) fn line(message: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // The capacity avoids reallocations, which would leave copies of secrets in memory.
    let mut line = Zeroizing::new(Vec::with_capacity(64 * 1024));
    // The serialization cannot fail, because all map keys are text.
    let _ = serde_json::to_writer(&mut *line, message);
    line.push(b'\n');
    line
}

/// A plugin's response, or a prompt that the plugin sends during a login: exactly one of the fields.
#[derive(Deserialize)]
pub(crate) struct Message<T> {
    pub(crate) ok: Option<T>,
    pub(crate) err: Option<PluginError>,
    pub(crate) ask: Option<Ask>,
    pub(crate) show_code: Option<ShowCode>,
    pub(crate) show_page: Option<ShowPage>,
    pub(crate) waiting: Option<Waiting>,
    pub(crate) tell: Option<Tell>,
}

/// Whether a line has few enough levels of lists and objects for the record, which stores `kept`.
pub(crate) fn is_shallow(line: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    line.iter().all(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth <= MAX_DEPTH
    })
}

/// Parses a line. Returns `None` if the line is not a message of the protocol.
pub(crate) fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<Message<T>> {
    let message: Message<T> = serde_json::from_slice(line).ok()?;
    let Message { ok, err, ask, show_code, show_page, waiting, tell } = &message;
    let prompts =
        [ask.is_some(), show_code.is_some(), show_page.is_some(), waiting.is_some(), tell.is_some()];
    let fields = [ok.is_some(), err.is_some()].into_iter().chain(prompts);
    // An object with two message fields is invalid.
    (fields.filter(|is_set| *is_set).count() == 1).then_some(message)
}

/// Returns malformed output from the name `ok` on.
pub(crate) fn from_ok(output: &[u8]) -> Option<&[u8]> {
    let is_ok = |part: &[u8]| part == b"\"ok\"" || part == b"'ok'";
    output.get(output.windows(4).position(is_ok)?..)
}

/// Whether malformed output contains a response, or the beginning of one.
pub(crate) fn has_response(output: &[u8]) -> bool {
    from_ok(output).is_some() || output.windows(5).any(|part| part == b"\"err\"")
}

/// Finds a response that has several lines, or that is one of several lines.
pub(crate) fn find_response<T: DeserializeOwned>(output: &[u8]) -> Option<Message<T>> {
    let is_response = |message: &Message<T>| message.ok.is_some() || message.err.is_some();
    let lines = output.split(|byte| *byte == b'\n');
    let mut parts = [output].into_iter().chain(lines).filter(|part| is_shallow(part));
    parts.find_map(|part| parse(part).filter(is_response))
}

#[derive(Deserialize)]
pub(crate) struct Ask {
    pub(crate) question: String,
    #[serde(default)]
    pub(crate) hidden: bool,
}

#[derive(Deserialize)]
pub(crate) struct ShowCode {
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) user_code: String,
    #[serde(default)]
    pub(crate) expires_in: u32,
}

#[derive(Deserialize)]
pub(crate) struct ShowPage {
    pub(crate) url: String,
}

#[derive(Deserialize)]
pub(crate) struct Waiting {
    #[serde(default)]
    pub(crate) seconds_left: u32,
}

#[derive(Deserialize)]
pub(crate) struct Tell {
    pub(crate) message: String,
}

#[derive(Deserialize)]
pub(crate) struct Description {
    pub(crate) issuer: String,
    #[serde(default)]
    pub(crate) actions: Vec<String>,
    #[serde(default)]
    pub(crate) scopes: bool,
    #[serde(default)]
    pub(crate) expires: bool,
    #[serde(default)]
    pub(crate) names: bool,
    #[serde(default)]
    login_with: Vec<String>,
}

impl Description {
    pub(crate) fn supports(&self, action: &str) -> bool {
        self.actions.iter().any(|supported| supported == action)
    }

    /// Whether the plugin supports this login method. The list `login_with` omits [`Login::Usual`].
    pub(crate) fn supports_login(&self, login: &Login) -> bool {
        let method = LoginMethod::new(login).method;
        self.supports("login")
            && (method == "usual" || self.login_with.iter().any(|supported| supported == method))
    }
}

#[derive(Deserialize)]
pub(crate) struct RevokeResponse {
    #[serde(default)]
    pub(crate) revoked: bool,
    pub(crate) note: Option<String>,
}

/// An error in a plugin's response.
#[derive(Deserialize)]
pub(crate) struct PluginError {
    kind: String,
    #[serde(default)]
    message: Value,
    hint: Option<String>,
    retry_after: Option<Value>,
}

impl PluginError {
    /// Converts the plugin's error to an error of the broker. `redact` removes secrets from a text.
    pub(crate) fn error(&self, redact: impl Fn(&str) -> String) -> Error {
        let wait = self.retry_after.as_ref().and_then(seconds).and_then(|wait| wait.to_std().ok());
        let code = match self.kind.as_str() {
            "login-required" => ErrorCode::LoginRequired,
            "refused" => ErrorCode::RequestRefused,
            "unavailable" if wait.is_some() => ErrorCode::RateLimited,
            "unavailable" => ErrorCode::ServiceUnavailable,
            "not-supported" => ErrorCode::RequestUnsupported,
            "usage" => ErrorCode::UsageInvalid,
            "configuration" => ErrorCode::ConfigInvalid,
            _ => ErrorCode::ProgramFailed,
        };
        // Some plugins send a number as the message, such as an HTTP status.
        let message = match &self.message {
            Value::Null => String::new(),
            Value::String(message) => message.trim().to_owned(),
            other => other.to_string(),
        };
        let message = match message.as_str() {
            "" => format!("the plugin reported the error `{}` without a message", redact(&self.kind)),
            message => redact(message),
        };
        let error = Error::new(code, message);
        let is_transient = error.is_transient();
        let error = error.with_retry_after(wait.filter(|_| is_transient));
        match &self.hint {
            Some(hint) => error.with_hint(redact(hint)),
            None if is_transient => error.with_hint(Hint::RetryLater),
            None => error,
        }
    }
}

pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
