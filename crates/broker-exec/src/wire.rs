//! The messages of the protocol, version 1: docs/dev/plugin-protocol.md says what each means.

use std::collections::BTreeMap;

use broker_core::{Error, ErrorKind, Hint, Login, Record, Secret, TokenRequest, seconds};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The one version that is spoken.
pub(crate) const VERSION: u64 = 1;

/// What the plugin says first.
#[derive(Deserialize)]
pub(crate) struct Hello {
    pub(crate) v: Vec<u64>,
}

/// What the broker asks for.
#[derive(Serialize)]
pub(crate) struct Request<'a> {
    v: u64,
    action: &'static str,
    provider: &'a str,
    now: String,
    settings: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Held<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "request")]
    wanted: Option<Wanted<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<With<'a>>,
}

/// The record, as a plugin sees it.
#[derive(Serialize)]
struct Held<'a> {
    account: Option<&'a str>,
    grant: Option<HeldGrant<'a>>,
    tokens: Vec<HeldToken<'a>>,
    kept: Option<&'a Value>,
}

#[derive(Serialize)]
struct HeldGrant<'a> {
    secret: &'a str,
    /// Since when an earlier try may have spent it.
    sent_at: Option<String>,
}

#[derive(Serialize)]
struct HeldToken<'a> {
    scopes: Vec<&'a str>,
    secret: &'a str,
    #[serde(rename = "type")]
    token_type: &'a str,
    scope: Option<&'a str>,
    issued_at: String,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Wanted<'a> {
    scopes: Vec<&'a str>,
    expires: Option<String>,
    min_ttl: Option<u64>,
    name: Option<&'a str>,
    force: bool,
}

/// How to log in.
#[derive(Serialize)]
struct With<'a> {
    with: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        action: &'static str,
        provider: &'a str,
        now: DateTime<Utc>,
        settings: &'a Map<String, Value>,
    ) -> Self {
        let (v, now) = (VERSION, rfc3339(now));
        Self { v, action, provider, now, settings, secrets: None, record: None, wanted: None, login: None }
    }

    pub(crate) fn with_secrets(mut self, secrets: &'a [(String, Secret)]) -> Self {
        self.secrets = Some(secrets.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect());
        self
    }

    /// `began_at` is when this operation began: that the grant was sent since then says only that it is about to be.
    pub(crate) fn with_record(mut self, record: &'a Record, kept: &str, began_at: DateTime<Utc>) -> Self {
        let token = |(scopes, token): (&'a str, &'a broker_core::Token)| HeldToken {
            scopes: scopes.split_whitespace().collect(),
            secret: token.secret().expose(),
            token_type: token.token_type(),
            scope: token.scope(),
            issued_at: rfc3339(token.issued_at()),
            expires_at: token.expires_at().map(rfc3339),
        };
        // A grant that was refused is not sent again.
        let grant = record.usable_grant().map(|grant| HeldGrant {
            secret: grant.secret().expose(),
            sent_at: grant.sent_at().filter(|at| *at < began_at).map(rfc3339),
        });
        let tokens = record.tokens().map(token).collect();
        self.record = Some(Held { account: record.account(), grant, tokens, kept: record.kept(kept) });
        self
    }

    pub(crate) fn for_token(mut self, request: &'a TokenRequest, now: DateTime<Utc>) -> Self {
        self.wanted = Some(Wanted {
            scopes: request.scopes().iter().collect(),
            expires: request.asked_life().and_then(|life| life.end(now)).map(rfc3339),
            min_ttl: request.asked_ttl().map(|left| left.as_secs()),
            name: request.asked_name(),
            force: request.is_forced(),
        });
        self
    }

    pub(crate) fn for_login(mut self, login: &'a Login) -> Self {
        let secret = match login {
            Login::RefreshToken(secret) | Login::Password(secret) => Some(secret.expose()),
            _ => None,
        };
        self.login = Some(With { with: with(login), secret });
        self
    }
}

/// The word for how to log in.
fn with(login: &Login) -> &'static str {
    match login {
        Login::RefreshToken(_) => "refresh_token",
        Login::Password(_) => "password",
        _ => "usual",
    }
}

/// The answer to a question that was asked through the broker.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    pub(crate) answer: &'a str,
}

/// A message as a line.
pub(crate) fn line(message: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // Big enough not to be moved, which would leave copies of secrets.
    let mut line = Zeroizing::new(Vec::with_capacity(64 * 1024));
    // Texts, numbers and maps with text as keys: nothing that cannot be written.
    let _ = serde_json::to_writer(&mut *line, message);
    line.push(b'\n');
    line
}

/// What a plugin says after a request: an answer, or something on the way to it.
pub(crate) enum Said<T> {
    Ok(T),
    Err(Told),
    Ask(Ask),
    ShowCode(ShowCode),
    ShowPage(ShowPage),
    Waiting(Waiting),
    Tell(Tell),
}

/// The same as it is written: an object with one of these.
#[derive(Deserialize)]
struct Message<T> {
    ok: Option<T>,
    err: Option<Told>,
    ask: Option<Ask>,
    show_code: Option<ShowCode>,
    show_page: Option<ShowPage>,
    waiting: Option<Waiting>,
    tell: Option<Tell>,
}

/// Reads a line; `None` if it is no message of the protocol.
pub(crate) fn read<T: DeserializeOwned>(line: &[u8]) -> Option<Said<T>> {
    let Message { ok, err, ask, show_code, show_page, waiting, tell } = serde_json::from_slice(line).ok()?;
    let said = [
        ok.map(Said::Ok),
        err.map(Said::Err),
        ask.map(Said::Ask),
        show_code.map(Said::ShowCode),
        show_page.map(Said::ShowPage),
        waiting.map(Said::Waiting),
        tell.map(Said::Tell),
    ];
    let mut said = said.into_iter().flatten();
    let first = said.next();
    // Two things in one message would leave open which is meant.
    first.filter(|_| said.next().is_none())
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
    /// In seconds.
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

/// The answer to `describe`.
#[derive(Deserialize)]
pub(crate) struct Described {
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

impl Described {
    pub(crate) fn can(&self, action: &str) -> bool {
        self.actions.iter().any(|can| can == action)
    }

    /// Whether it has a login of this way. The usual one needs no word.
    pub(crate) fn takes(&self, login: &Login) -> bool {
        let with = with(login);
        self.can("login") && (with == "usual" || self.login_with.iter().any(|takes| takes == with))
    }
}

/// The answer to `revoke`.
#[derive(Deserialize)]
pub(crate) struct RevokedThere {
    #[serde(default)]
    pub(crate) revoked: bool,
    pub(crate) note: Option<String>,
}

/// A typed error.
#[derive(Deserialize)]
pub(crate) struct Told {
    kind: String,
    #[serde(default)]
    message: Value,
    hint: Option<String>,
    /// In seconds.
    retry_after: Option<Value>,
}

impl Told {
    /// As the broker has it; `shown` is what may be seen of a text.
    pub(crate) fn error(&self, shown: impl Fn(&str) -> String) -> Error {
        let kind = match self.kind.as_str() {
            "login-required" => ErrorKind::LoginRequired,
            "refused" => ErrorKind::Refused,
            "unavailable" => ErrorKind::Unavailable,
            "not-supported" | "usage" => ErrorKind::Usage,
            "configuration" => ErrorKind::Configuration,
            _ => ErrorKind::Failed,
        };
        // A status, say, as a number.
        let message = match &self.message {
            Value::Null => String::new(),
            Value::String(message) => message.trim().to_owned(),
            other => other.to_string(),
        };
        let message = match message.as_str() {
            "" => format!("the plugin says: {}, and nothing else", shown(&self.kind)),
            message => shown(message),
        };
        let wait = self.retry_after.as_ref().and_then(seconds).and_then(|wait| wait.to_std().ok());
        let wait = wait.filter(|_| kind == ErrorKind::Unavailable);
        let error = Error::new(kind.general_code(), message).with_retry_after(wait);
        match &self.hint {
            Some(hint) => error.with_hint(shown(hint)),
            None if kind == ErrorKind::Unavailable => error.with_hint(Hint::RetryLater),
            None => error,
        }
    }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
