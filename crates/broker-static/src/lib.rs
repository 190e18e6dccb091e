//! The provider kind `static`: a fixed key or token, read from a configured source. The record contains the token only
//! if the configuration key `life` says how long to cache the token.

use std::sync::Arc;

use async_trait::async_trait;
use broker_core::{
    Claims, ConfigDuration, Error, ErrorCode, HttpRequest, Issuer, Kind, NextExchange, Operation, Provider,
    ProviderInfo, Record, RecordUpdate, Result, Revoked, ScopeKey, Secret, SecretSource, Settings,
    SettingsError, Token, TokenRequest, later,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// The provider kind `static`.
pub const KIND: Kind = Kind::new::<Config>("static", build).secrets(&["token"]);

/// How long before a token's expiry the user gets a warning.
const WARNING_PERIOD: TimeDelta = TimeDelta::days(7);

/// If the key `expires` is not set, the user is warned only about tokens that live at least this long.
const LONG_LIFETIME: TimeDelta = TimeDelta::days(30);

/// The configuration keys of `kind = "static"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    token: Option<SecretSource>,
    username: Option<String>,
    life: Option<ConfigDuration>,
    #[serde(default, deserialize_with = "expiry")]
    expires: Option<DateTime<Utc>>,
}

/// Reads a time, or a date that means the start of the day in UTC.
fn expiry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    // The TOML parser represents a date as a map with one text.
    let date = value.as_object().filter(|date| date.len() == 1).and_then(|date| date.values().next());
    let text = date.unwrap_or(&value).as_str().unwrap_or_default();
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(chrono::NaiveTime::MIN).and_utc());
    let expiry = DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()).or_else(day);
    let form = "a date or a time: \"2027-01-31\", \"2027-01-31T12:00:00Z\"";
    expiry.map(Some).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Other("value"), &form))
}

fn build(settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    let Config { token, username, life, expires } = settings.parse()?;
    // HTTP Basic forbids colons and control characters in user names (RFC 7617 section 2).
    let invalid = |name: &String| name.is_empty() || name.contains(|c: char| c == ':' || c.is_control());
    if username.as_ref().is_some_and(invalid) {
        let message = "the user name must not be empty or contain a colon or control characters (HTTP Basic)";
        return Err(SettingsError::new("username", message));
    }
    let token = token.ok_or_else(|| {
        let form = "text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\"] }";
        SettingsError::missing("token", form)
    })?;
    let source = token.describe("token");
    let life = life.map(|life| life.0);
    let issuer = Issuer {
        kind: KIND.name.to_owned(),
        flow: "static".to_owned(),
        endpoint: source.clone(),
        client_id: username.clone(),
        audience: None,
        environment: settings.bound(),
        // The fingerprint shows whether the token (of a command: the command line) has changed since the broker cached it.
        secret_fingerprint: life.and_then(|_| token.fingerprint(settings.name(), settings.env())),
    };
    let mut info = ProviderInfo::new(issuer);
    info.account.clone_from(&username);
    info.sources = vec![source.clone()];
    let name = settings.name().to_owned();
    Ok(Arc::new(Static { name, token, source, username, life, expires, info }))
}

struct Static {
    name: String,
    token: SecretSource,
    /// Describes where the token is read from.
    source: String,
    username: Option<String>,
    life: Option<TimeDelta>,
    expires: Option<DateTime<Utc>>,
    info: ProviderInfo,
}

#[async_trait]
impl Provider for Static {
    fn info(&self) -> &ProviderInfo {
        &self.info
    }

    /// With the key `life`, the broker reads an expired token again. Without `life`, the user must replace the token.
    fn next_exchange(&self, record: &Record, _: &TokenRequest, _: DateTime<Utc>) -> NextExchange {
        let stored = record.token(&ScopeKey::default());
        let reads = self.life.is_some() || stored.is_none_or(|token| token.expires_at().is_none());
        if reads { NextExchange::KeepsGrant } else { NextExchange::NeedsLogin }
    }

    /// Reads the token from the file, variable, command or text that the key `token` configures.
    async fn exchange(
        &self,
        operation: &Operation,
        _record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate> {
        let secret = self.read(&self.token.resolve_lines(operation.context(), "token").await?)?;
        let now = operation.now();
        let secret = if self.username.is_some() { secret } else { Token::bare(secret) };
        let claims = Claims::read(&secret);
        let expiry = [self.expires, claims.as_ref().and_then(Claims::expires_at)].into_iter().flatten().min();
        let issued_at = claims.as_ref().and_then(Claims::issued_at).filter(|_| self.expires.is_none());
        if let Some(expiry) = expiry {
            self.check_expiry(operation, issued_at, expiry)?;
        }
        let read_again = self.life.map(|life| later(now, life));
        let expires_at = [expiry, read_again].into_iter().flatten().min();
        let token = match &self.username {
            // HTTP Basic credentials (RFC 7617 section 2).
            Some(username) => {
                Token::new(HttpRequest::basic_pair(username, &secret), now, expires_at).with_type("Basic")
            }
            None => Token::new(secret, now, expires_at),
        };
        let token = if self.life.is_some() { token } else { token.not_stored() };
        Ok(RecordUpdate::token(request.scopes(), token).and_account(self.username.clone()))
    }

    async fn revoke(&self, _operation: &Operation, _record: &Record) -> Result<Revoked> {
        let note = format!("the token stays valid, and remains in {source}", source = self.source);
        Ok(Revoked::new(false, Some(note)))
    }
}

impl Static {
    /// Returns the token without blanks around it. Fails if the token has several lines.
    fn read(&self, text: &Secret) -> Result<Secret> {
        let token = Secret::cleaned_token(text.expose());
        let problem = |what: &str| {
            let message = format!("cannot use {source} as a token: {what}", source = self.source);
            Error::new(ErrorCode::SecretUnreadable, message)
        };
        match token.expose() {
            "" => Err(problem("the token is empty")),
            text if self.username.is_none() && text.eq_ignore_ascii_case("Bearer") => {
                Err(problem("it has no token after the word `Bearer`"))
            }
            text if text.contains(['\n', '\r']) => Err(problem("the token has several lines").with_hint(
                "store only the token, or set `kind = \"exec\"` and `speaks = \"text\"` to use the first line",
            )),
            text if text.contains(char::is_control) => Err(problem("the token contains control characters")),
            _ => Ok(token),
        }
    }

    /// Fails if the token has expired, and warns the user if the token expires soon.
    fn check_expiry(
        &self,
        operation: &Operation,
        issued_at: Option<DateTime<Utc>>,
        expiry: DateTime<Utc>,
    ) -> Result<()> {
        let now = operation.now();
        let at = expiry.format("%F %H:%M UTC");
        let setting = if self.expires == Some(expiry) { ", then correct `expires`" } else { "" };
        let source = &self.source;
        let hint = format!("get a new token from the service and store that token in {source}{setting}");
        if expiry <= now {
            return Err(Error::login_required(format!("the token expired at {at}")).with_hint(hint));
        }
        let is_long = issued_at.is_some_and(|issued_at| expiry - issued_at >= LONG_LIFETIME);
        if expiry - now <= WARNING_PERIOD && (self.expires.is_some() || is_long) {
            operation
                .notify_after_save(format!("{name}: the token expires at {at}: {hint}", name = self.name));
        }
        Ok(())
    }
}
