//! Classifies the responses of services: a JSON object, a refusal, or a transient problem.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::{Map, Value};
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::{Error, ErrorCode, Hint, HttpResponse, RequestPart, Secret, ServiceUrl, bounds, sanitize};

/// Longer explanations from a service are cut after this many characters.
const LONGEST_TEXT: usize = 300;

/// Why a service's response is not a success.
#[derive(Debug)]
pub enum Problem {
    /// The service understood the request and refused it.
    Refused(Refusal),
    /// No usable response: HTTP 429 or 5xx, a web page, an incomplete response, or no response at all.
    Transient(Error),
}

/// A response in which the service refuses the request.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The error code, from the response's field `error` (RFC 6749 section 5.2) or `code`.
    pub code: Option<String>,
    /// The service's explanation, without control characters and without the secrets of the request.
    pub words: String,
}

impl Refusal {
    /// Whether the refusal has the error code `code`.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Converts the refusal to an error whose message begins with `what`, such as "the login failed".
    #[must_use]
    pub fn error(&self, what: &str) -> Error {
        let code = match self.code.as_deref() {
            Some("invalid_client") => ErrorCode::ClientRefused,
            Some("access_denied") => ErrorCode::AccessDenied,
            _ => ErrorCode::RequestRefused,
        };
        let error = Error::new(code, format!("{what}: {}", self.words));
        if self.is("invalid_scope") {
            return error.with_hint(Hint::LeaveOut(RequestPart::Scope));
        }
        error
    }
}

impl Problem {
    /// Converts the problem to an error. If the service refused the request, the message begins with `what`.
    #[must_use]
    pub fn error(self, what: &str) -> Error {
        match self {
            Self::Refused(refusal) => refusal.error(what),
            Self::Transient(error) => error,
        }
    }
}

/// Reads a response as a JSON object. Error texts do not show `secrets`, which a service may repeat from the request.
///
/// A response counts as a refusal only if the service itself sent it: as JSON, or as a 401 or 403 without
/// content. A gateway's web page, HTTP 429 and HTTP 5xx are never refusals.
pub fn read_object(
    response: &HttpResponse,
    from: &ServiceUrl,
    secrets: &[&Secret],
) -> Result<Map<String, Value>, Problem> {
    let status = response.status;
    let object = response.json();
    let (is_object, is_empty) = (object.is_some(), response.body.trim_ascii().is_empty());
    let is_transient = response.is_transient() || object.as_ref().is_some_and(is_trouble);
    match object {
        _ if is_transient => {}
        Some(object) if (200..300).contains(&status) && error_code(&object).is_none() => return Ok(object),
        Some(object) => return Err(Problem::Refused(refusal(status, &object, secrets))),
        None if matches!(status, 401 | 403) && is_empty => {
            return Err(Problem::Refused(refusal(status, &Map::new(), secrets)));
        }
        None => {}
    }
    let body = match () {
        () if response.is_html() => "a web page".to_owned(),
        () if is_empty => "no content".to_owned(),
        () if is_object => "an error message".to_owned(),
        () => format!("a body of {} bytes that is not a JSON object", response.body.len()),
    };
    let code = match status {
        429 => ErrorCode::RateLimited,
        _ if is_transient => ErrorCode::ServiceUnavailable,
        _ => ErrorCode::BadResponse,
    };
    let error = Error::new(code, format!("{from} answered HTTP {status} with {body}"));
    let retry_after = response.retry_after();
    Err(Problem::Transient(match retry_after {
        Some(wait) if !wait.is_zero() => {
            let shown = wait.min(Duration::from_hours(24));
            error.with_retry_after(retry_after).with_hint(format!(
                "the service asked for a pause: try again in {}",
                humantime::format_duration(shown)
            ))
        }
        _ => error.with_hint(Hint::RetryLater),
    }))
}

/// Reads a number of seconds (`3600`, `3600.0`, `"3600"`), limited to ±100 years.
#[must_use]
pub fn seconds(value: &Value) -> Option<TimeDelta> {
    let milliseconds = milliseconds(value)?;
    let longest = bounds::LONGEST.num_milliseconds();
    TimeDelta::try_milliseconds(milliseconds.clamp(-longest, longest))
}

pub(crate) fn milliseconds(value: &Value) -> Option<i64> {
    let number: f64 = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "saturates")]
    number.is_finite().then_some((number * 1000.0) as i64)
}

fn error_code(object: &Map<String, Value>) -> Option<&str> {
    object.get("error").and_then(Value::as_str).filter(|code| !code.is_empty())
}

/// Whether the error code reports a temporary problem of the service, even with status 400 (RFC 6749 section
/// 4.1.2.1).
fn is_trouble(object: &Map<String, Value>) -> bool {
    matches!(error_code(object), Some("temporarily_unavailable" | "server_error"))
}

fn refusal(status: u16, object: &Map<String, Value>, secrets: &[&Secret]) -> Refusal {
    let code = error_code(object).or_else(|| object.get("code").and_then(Value::as_str)).map(str::to_owned);
    let text = ["error_description", "message", "detail", "title"]
        .iter()
        .filter_map(|key| object.get(*key))
        .map(explanation)
        .find(|text| !text.is_empty());
    let words = match (&code, text) {
        (Some(code), Some(text)) => format!("{text} ({code})"),
        (Some(code), None) => code.clone(),
        (None, Some(text)) => text,
        (None, None) => "the service gave no reason".to_owned(),
    };
    Refusal { status, words: redact(&format!("{words} [HTTP {status}]"), secrets), code }
}

/// Reads an error text, or a list of validation errors: `[{"loc": […], "msg": "…"}]`.
fn explanation(value: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let complaint = |item: &Value| {
        let words = plain(item.get("msg").unwrap_or(item));
        match item.get("loc").and_then(Value::as_array) {
            Some(loc) => format!("{}: {words}", loc.iter().map(plain).collect::<Vec<_>>().join(".")),
            None => words,
        }
    };
    match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Array(items) => items.iter().map(complaint).collect::<Vec<_>>().join("; "),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Removes secrets, plain or encoded, from the text of a service or program. The result is safe for a terminal and
/// has at most 300 characters.
#[must_use]
pub fn redact(text: &str, secrets: &[&Secret]) -> String {
    let mut text = Zeroizing::new(text.to_owned());
    for secret in secrets.iter().map(|secret| secret.expose()) {
        // The spelling of the secret inside a JSON string.
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
    if text.chars().count() > LONGEST_TEXT {
        text = text.chars().take(LONGEST_TEXT).chain(['…']).collect();
    }
    text
}

/// Returns the base64 text of `secret` as part of a Basic header, in which `before` other bytes (the
/// username) precede the secret. Omits base64 characters that also encode a neighbouring byte.
fn in_base64(secret: &str, before: usize) -> String {
    let bytes = Zeroizing::new([&vec![0; before], secret.as_bytes()].concat());
    let (first, last) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    // Redaction of shorter base64 text would also remove ordinary words.
    STANDARD.encode(&*bytes).get(first..last).filter(|part| part.len() > 7).unwrap_or_default().to_owned()
}

/// Reads a text field of a 2xx response, even if other parts of the response are malformed. The service may have
/// replaced the refresh token, and the new one must not be lost.
#[must_use]
pub fn salvage(response: &HttpResponse, key: &str) -> Option<Secret> {
    if !(200..300).contains(&response.status) {
        return None;
    }
    let found = match response.json() {
        // A JSON body is read even if its content type is HTML.
        Some(object) => object.get(key)?.as_str()?.to_owned(),
        None if response.is_html() => return None,
        None => in_malformed(&response.body, key)?,
    };
    (!found.is_empty()).then(|| Secret::new(found))
}

fn in_malformed(body: &[u8], key: &str) -> Option<String> {
    let key = format!("\"{key}\"");
    let body = String::from_utf8_lossy(body);
    let value = body.split_once(&key)?.1.trim_start().strip_prefix(':')?.trim_start();
    let found = serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()?;
    // A value with U+FFFD is damaged: this character replaces invalid UTF-8.
    (!found.contains('\u{fffd}')).then_some(found)
}
