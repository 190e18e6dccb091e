//! Programs that implement the credential provider protocol of cargo, version 1.

use broker_core::{Error, ErrorCode, ExpiresAs, Expiry, Result, Secret, sanitize};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::PrintedToken;

/// The lifetime of a token for which the program reports `cache: "never"`.
const UNCACHED: TimeDelta = TimeDelta::seconds(1);

/// Returns the request for a token that can read from the registry.
pub(super) fn request(registry: &str) -> Vec<u8> {
    let request = json!({
        "v": 1, "registry": { "index-url": registry }, "kind": "get", "operation": "read", "args": [],
    });
    format!("{request}\n").into_bytes()
}

#[derive(Deserialize)]
struct Hello {
    v: Vec<u64>,
}

#[derive(Deserialize)]
enum Response {
    Ok(CachedToken),
    Err(ReportedError),
}

#[derive(Deserialize)]
struct CachedToken {
    token: Secret,
    cache: Option<String>,
    expiration: Option<Value>,
}

#[derive(Deserialize)]
struct ReportedError {
    kind: String,
    message: Option<String>,
}

/// Whether the program's output is an error response of cargo's credential provider protocol.
pub(super) fn is_error(output: &[u8]) -> bool {
    let text = std::str::from_utf8(output).unwrap_or_default();
    text.lines().nth(1).is_some_and(|line| matches!(serde_json::from_str(line), Ok(Response::Err(_))))
}

pub(super) fn parse(
    text: &str,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Result<PrintedToken, &'static str>> {
    let mut lines = text.lines();
    let hello = lines.next().and_then(|line| serde_json::from_str::<Hello>(line).ok());
    let Some(hello) = hello else {
        return Ok(Err("the first line of the output is not the list of versions of cargo's protocol"));
    };
    if !hello.v.contains(&1) {
        let versions = Value::from(hello.v);
        let message = format!("program `{name}` uses versions {versions} of cargo's protocol, not 1");
        return Err(Error::new(ErrorCode::ProtocolMismatch, message));
    }
    let response = lines.next().and_then(|line| serde_json::from_str::<Response>(line).ok());
    match response {
        None => Ok(Err("the output has no response of cargo's protocol")),
        Some(Response::Err(error)) => {
            let text = sanitize(error.message.as_deref().unwrap_or_default());
            let text = format!("program `{name}` failed: {} {text}", sanitize(&error.kind));
            Err(match error.kind.as_str() {
                "not-found" => Error::login_required(text).with_hint(format!("log in with `{name}`")),
                "url-not-supported" | "operation-not-supported" => Error::configuration(text),
                _ => Error::new(ErrorCode::ProgramFailed, text),
            })
        }
        Some(Response::Ok(response)) => {
            let expiry = match (response.cache.as_deref(), response.expiration) {
                (Some("never"), _) => Some(Expiry::In(UNCACHED)),
                (Some("expires"), Some(at)) => {
                    ExpiresAs::Epoch.read(&at).or_else(|| Expiry::read("expiration", &at, now))
                }
                _ => None,
            };
            let expiry = expiry.into_iter().collect();
            Ok(Ok(PrintedToken { secret: response.token, expiry, token_type: None }))
        }
    }
}
