//! What a service's answer means, before it means anything in particular: an object, a refusal, or a fault.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::{Error, HttpResponse, Secret, ServiceUrl};

/// The longest text of a service that is shown.
const LONGEST_WORDS: usize = 300;

/// Why an answer is not what was asked for.
#[derive(Debug)]
pub enum Problem {
    /// The service means it: it understood the request and refused.
    Refused(Refusal),
    /// It says nothing about the request: 429, 5xx, a web page, half an answer, none.
    Transient(Error),
}

/// A refusal in the service's own words.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code, from `error` (RFC 6749 section 5.2) or `code`.
    pub code: Option<String>,
    /// What the service says of it, without control characters and without the secrets that were sent.
    pub words: String,
}

impl Refusal {
    /// Whether the error code is this one.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// The refusal as an error: `what` was refused.
    #[must_use]
    pub fn error(&self, what: &str) -> Error {
        Error::refused(format!("{what}: {}", self.words))
    }
}

impl Problem {
    /// The problem as an error: `what` was refused, if it was.
    #[must_use]
    pub fn error(self, what: &str) -> Error {
        match self {
            Self::Refused(refusal) => refusal.error(what),
            Self::Transient(error) => error,
        }
    }
}

/// Reads the answer of a service as a JSON object. `secrets` are those that were sent, in case it repeats them.
///
/// A refusal is only what the service itself says in JSON, or a bare 401 or 403: a gateway's page is none,
/// whatever its status, and a service in trouble (429, 5xx) refuses nothing.
pub fn read_object(
    response: &HttpResponse,
    from: &ServiceUrl,
    secrets: &[&Secret],
) -> Result<Map<String, Value>, Problem> {
    let status = response.status;
    let object = response.json();
    if !response.is_transient() {
        match object {
            Some(object) if (200..300).contains(&status) && error_code(&object).is_none() => {
                return Ok(object);
            }
            Some(object) if !is_trouble(&object) => {
                return Err(Problem::Refused(refusal(status, &object, secrets)));
            }
            None if matches!(status, 401 | 403) && response.body.trim_ascii().is_empty() => {
                return Err(Problem::Refused(refusal(status, &Map::new(), secrets)));
            }
            _ => {}
        }
    }
    let body = match &response.body {
        _ if response.is_html() => "a web page".to_owned(),
        body if body.trim_ascii().is_empty() => "no content".to_owned(),
        body if response.json().is_none() => format!("{} bytes that are not a JSON object", body.len()),
        _ => "an error of its own".to_owned(),
    };
    let error = Error::unavailable(format!("{from} answered HTTP {status} with {body}"));
    let retry_after = response.retry_after();
    Err(Problem::Transient(match retry_after {
        Some(wait) if !wait.is_zero() => {
            let shown = wait.min(Duration::from_hours(24));
            error.with_retry_after(retry_after).with_hint(format!(
                "the service asks to be left alone for {}",
                humantime::format_duration(shown)
            ))
        }
        _ => error.with_hint("try again later"),
    }))
}

/// A number of seconds, however it is written: `3600`, `3600.0`, `"3600"`.
#[must_use]
pub fn seconds(value: &Value) -> Option<TimeDelta> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and what is out of range is refused")]
    TimeDelta::try_milliseconds((number * 1000.0) as i64).filter(|_| number.is_finite())
}

/// Text of a service as a terminal can show it: what would steer the terminal, or turn the text around, is blank.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

fn error_code(object: &Map<String, Value>) -> Option<&str> {
    object.get("error").and_then(Value::as_str).filter(|code| !code.is_empty())
}

/// Codes by which a service says that it is in trouble itself, whatever the status (RFC 6749 section 4.1.2.1).
fn is_trouble(object: &Map<String, Value>) -> bool {
    matches!(error_code(object), Some("temporarily_unavailable" | "server_error"))
}

fn refusal(status: u16, object: &Map<String, Value>, secrets: &[&Secret]) -> Refusal {
    let code = error_code(object).or_else(|| object.get("code").and_then(Value::as_str)).map(str::to_owned);
    let told = ["error_description", "message", "detail", "title"]
        .iter()
        .filter_map(|key| object.get(*key))
        .map(told)
        .find(|words| !words.is_empty());
    let words = match (&code, told) {
        (Some(code), Some(told)) => format!("{told} ({code})"),
        (Some(code), None) => code.clone(),
        (None, Some(told)) => told,
        (None, None) => "no reason given".to_owned(),
    };
    Refusal { status, words: redact(&format!("{words} [HTTP {status}]"), secrets), code }
}

/// Text, or a list of complaints about fields: `[{"loc": […], "msg": "…"}]`.
fn told(value: &Value) -> String {
    let complaint = |item: &Value| {
        let place = item.get("loc").and_then(Value::as_array).map(|loc| {
            loc.iter()
                .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
                .collect::<Vec<_>>()
        });
        let words = item.get("msg").unwrap_or(item);
        let words = words.as_str().map_or_else(|| words.to_string(), str::to_owned);
        place.map_or_else(|| words.clone(), |place| format!("{}: {words}", place.join(".")))
    };
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => items.iter().map(complaint).collect::<Vec<_>>().join("; "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Words of a service, or of a program, without the secrets that were sent, however it spells them, as a terminal can
/// show them; at most 300 characters.
#[must_use]
pub fn redact(words: &str, secrets: &[&Secret]) -> String {
    let mut text = Zeroizing::new(words.to_owned());
    for secret in secrets.iter().map(|secret| secret.expose()) {
        // Quoted, as JSON in a text has it.
        let quoted = serde_json::to_string(secret).unwrap_or_default();
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let plain = [secret, secret.trim(), quoted.trim_matches('"'), &encoded].map(str::to_owned);
        for spelling in plain.into_iter().chain((0..3).map(|before| in_base64(&encoded, before))) {
            if !spelling.is_empty() {
                *text = text.replace(&spelling, "[redacted]");
            }
        }
    }
    let mut text = sanitize(&text);
    if text.chars().count() > LONGEST_WORDS {
        text = text.chars().take(LONGEST_WORDS).chain(['…']).collect();
    }
    text
}

/// What base64 makes of a secret alone where so many bytes of others stand before it, as in a Basic header.
fn in_base64(secret: &str, before: usize) -> String {
    let bytes = Zeroizing::new([&vec![0; before], secret.as_bytes()].concat());
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    // Of a short one so little is sure that other words have it too.
    STANDARD.encode(&*bytes).get(first..last).filter(|sure| sure.len() > 7).unwrap_or_default().to_owned()
}

/// A text field of a success, also where the answer as a whole is of no use: it has an error beside it, a number out
/// of range, bytes that are no UTF-8. The service has acted, and a refresh token in it is the login now.
#[must_use]
pub fn salvage(response: &HttpResponse, key: &str) -> Option<Secret> {
    if !(200..300).contains(&response.status) {
        return None;
    }
    let found = match response.json() {
        // Also where the head calls it a web page.
        Some(object) => object.get(key)?.as_str()?.to_owned(),
        None if response.is_html() => return None,
        None => in_ruins(&response.body, key)?,
    };
    (!found.is_empty()).then(|| Secret::new(found))
}

/// A text field of what is no JSON as a whole.
fn in_ruins(body: &[u8], key: &str) -> Option<String> {
    let key = format!("\"{key}\"");
    let body = String::from_utf8_lossy(body);
    let value = body.split_once(&key)?.1.trim_start().strip_prefix(':')?.trim_start();
    let found = serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()?;
    // What had to be replaced to be text is not what the service gave.
    (!found.contains('\u{fffd}')).then_some(found)
}
