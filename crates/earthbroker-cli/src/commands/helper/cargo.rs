//! cargo's credential provider protocol, version 1: each request and each answer is one line of JSON.

use std::io::BufRead;

use earthbroker::{Broker, Error, ErrorCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{provider_for, token};
use crate::commands::{CommandContext, CommandResult, answer_json};
use crate::format::plain;
use crate::report::{ExitError, hint};

#[derive(Deserialize)]
struct Request {
    v: u32,
    kind: String,
    registry: Registry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    index_url: String,
}

pub(super) fn run(context: &CommandContext<'_>) -> CommandResult {
    answer_json(&json!({ "v": [1] }))?;
    let mut broker = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| {
            Error::new(ErrorCode::ReadFailed, "cannot read standard input").with_source(error)
        })?;
        let answer = match respond(context, &mut broker, &line) {
            Ok(answer) => answer,
            Err(ExitError::Errors(errors)) => fault(&errors),
            Err(end) => return Err(end),
        };
        answer_json(&answer)?;
    }
    Ok(())
}

fn respond(context: &CommandContext<'_>, broker: &mut Option<Broker>, line: &str) -> CommandResult<Value> {
    let request: Request = serde_json::from_str(line).map_err(|error| {
        Error::usage("standard input is not a request of cargo's credential protocol").with_source(error)
    })?;
    if request.v != 1 || request.kind != "get" {
        return Ok(json!({ "Err": { "kind": "operation-not-supported" } }));
    }
    let broker = match broker {
        Some(broker) => broker,
        None => broker.insert(context.setup().open()?),
    };
    let index = &request.registry.index_url;
    let url = index.strip_prefix("sparse+").unwrap_or(index);
    let Some(provider) = provider_for(context, broker, url) else {
        return Ok(json!({ "Err": { "kind": "url-not-supported" } }));
    };
    let token = token(broker, &provider)?;
    let mut get = json!({
        "kind": "get",
        // cargo uses this token as the complete value of the `Authorization` header.
        "token": format!("{} {}", token.header().prefix_of(&token), plain(&token)?),
        "cache": "session",
        "operation_independent": true,
    });
    if let Some(expires_at) = token.expires_at() {
        get["cache"] = "expires".into();
        get["expiration"] = expires_at.timestamp().into();
    }
    Ok(json!({ "Ok": get }))
}

/// Returns an error of the kind `other`. cargo prints such an error, and tries no other credential provider.
fn fault(errors: &[Error]) -> Value {
    let text = |error: &Error| match hint(error) {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    };
    let texts: Vec<_> = errors.iter().map(text).collect();
    json!({ "Err": { "kind": "other", "message": texts.join("; "), "caused-by": [] } })
}
