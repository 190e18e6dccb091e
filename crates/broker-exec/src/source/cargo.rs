//! Credential providers of cargo, version 1 of their protocol.

use broker_core::{Error, Result, Secret, sanitize};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ends, Printed};

/// A token that is not to be cached is gone at once.
const UNCACHED: TimeDelta = TimeDelta::seconds(1);

/// The one request: a token to read from the registry. Its answer is the line after the hello, which has to be there.
pub(super) fn get(registry: &str) -> Vec<u8> {
    let get = json!({
        "v": 1, "registry": { "index-url": registry }, "kind": "get", "operation": "read", "args": [],
    });
    format!("{get}\n").into_bytes()
}

#[derive(Deserialize)]
struct Hello {
    v: Vec<u64>,
}

#[derive(Deserialize)]
enum Answer {
    Ok(Got),
    Err(Told),
}

#[derive(Deserialize)]
struct Got {
    token: Secret,
    cache: Option<String>,
    expiration: Option<i64>,
}

#[derive(Deserialize)]
struct Told {
    kind: String,
    message: Option<String>,
}

/// Whether an error is said in the protocol.
pub(super) fn is_error(output: &[u8]) -> bool {
    let text = std::str::from_utf8(output).unwrap_or_default();
    text.lines().nth(1).is_some_and(|line| matches!(serde_json::from_str(line), Ok(Answer::Err(_))))
}

pub(super) fn read(text: &str, name: &str, now: DateTime<Utc>) -> Result<Result<Printed, &'static str>> {
    let mut lines = text.lines();
    let hello = lines.next().and_then(|line| serde_json::from_str::<Hello>(line).ok());
    let Some(hello) = hello else { return Ok(Err("is no credential provider of cargo: it said no hello")) };
    if !hello.v.contains(&1) {
        let theirs = Value::from(hello.v);
        return Err(Error::configuration(format!(
            "program `{name}` speaks versions {theirs} of cargo's protocol, not 1"
        )));
    }
    let answer = lines.next().and_then(|line| serde_json::from_str::<Answer>(line).ok());
    match answer {
        None => Ok(Err("gave no answer of cargo's protocol")),
        Some(Answer::Err(told)) => {
            let words = sanitize(told.message.as_deref().unwrap_or_default());
            let words = format!("program `{name}` says: {} {words}", sanitize(&told.kind));
            Err(match told.kind.as_str() {
                "not-found" => Error::login_required(words).with_hint(format!("log in with `{name}` itself")),
                "url-not-supported" | "operation-not-supported" => Error::configuration(words),
                _ => Error::failed(words),
            })
        }
        Some(Answer::Ok(got)) => {
            let ends = match (got.cache.as_deref(), got.expiration) {
                (Some("never"), _) => now.checked_add_signed(UNCACHED).map_or(Ends::Unsaid, Ends::At),
                (Some("expires"), Some(at)) => DateTime::from_timestamp(at, 0).map_or(Ends::Unsaid, Ends::At),
                _ => Ends::Unsaid,
            };
            Ok(Ok(Printed { secret: got.token, ends, token_type: None }))
        }
    }
}
