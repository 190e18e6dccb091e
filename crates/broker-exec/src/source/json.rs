//! Programs that print a JSON object: `az account get-access-token`, `gcloud config config-helper --format json`, and
//! executables of Google's workload identity federation (AIP-4117).

use broker_core::{Error, ErrorCode, Expiry, Result, Secret, redact, value_at};
use chrono::{DateTime, Local, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use serde_json::Value;

use super::PrintedToken;
use crate::config::Config;

/// The JSON paths where programs usually print a token, in order of precedence.
const TOKENS: [&str; 9] = [
    "access_token",
    "accessToken",
    "token",
    "credential.access_token",
    "auth.client_token",
    "status.token",
    "id_token",
    "iam_token",
    "authorizationToken",
];

/// The JSON paths where programs usually print why they failed, in order of precedence.
const REASONS: [&str; 13] = [
    "message",
    "error_description",
    "error.message",
    "errorMessage",
    "error",
    "errors.0.message",
    "errors.0.detail",
    "errors.0",
    "Message",
    "Error.Message",
    "Error",
    "detail",
    "msg",
];

pub(super) fn parse(
    text: &str,
    config: &Config,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Result<PrintedToken, &'static str>> {
    let Some(mut object) = read(text.as_bytes()) else { return Ok(Err("the output is not JSON")) };
    if has_failed(&object) {
        return Err(failure(&object, name));
    }
    let usual = || TOKENS.iter().copied().find(|path| text_at(&object, path).is_some());
    let Some(path) = config.token.as_deref().or_else(usual) else {
        return match object.get("saml_response") {
            _ if reason(&object).is_some() => Err(failure(&object, name)),
            Some(_) => Ok(Err("the program printed a SAML response, which is no token for HTTP requests")),
            None => {
                Ok(Err("the JSON output has no known token field: set the key `token` to the token's path"))
            }
        };
    };
    let Some(token) = text_at(&object, path).map(Secret::new) else {
        return Ok(Err("the output has no token at the path that the key `token` sets"));
    };
    if config.expires_as.is_none() {
        read_local_time(&mut object);
    }
    let expiry = match &config.expires {
        None => Expiry::beside(path, &object, now),
        Some(path) => match value_at(&object, path).filter(|value| !Expiry::is_unstated(value)) {
            None => Vec::new(),
            Some(value) => {
                let usual = || Expiry::read(path, value, now);
                let read = config.expires_as.as_ref().map_or_else(usual, |format| format.read(value));
                let Some(expiry) = read else {
                    return Ok(Err(
                        "the expiry in the output has an unknown format: set the key `expires_as`",
                    ));
                };
                vec![expiry]
            }
        },
    };
    Ok(Ok(PrintedToken { secret: token, expiry, token_type: None }))
}

/// Whether the output of a program that failed is a JSON object with the reason.
pub(super) fn is_error(output: &[u8]) -> bool {
    read(output).is_some_and(|object| has_failed(&object) || reason(&object).is_some())
}

/// Reads JSON; a list with one item counts as that item.
fn read(output: &[u8]) -> Option<Value> {
    match serde_json::from_slice(output).ok()? {
        Value::Array(mut list) if list.len() == 1 => list.pop(),
        value => Some(value),
    }
}

fn has_failed(object: &Value) -> bool {
    object.get("success") == Some(&Value::Bool(false))
}

fn failure(object: &Value, name: &str) -> Error {
    let reason = reason(object).unwrap_or("no reason was printed");
    let code = text_at(object, "code").map(|code| format!(" ({code})")).unwrap_or_default();
    let message = format!("program `{name}` failed: {}", redact(&format!("{reason}{code}"), &[]));
    Error::new(ErrorCode::ProgramFailed, message)
        .with_hint("run the `command` of this provider in a terminal: it may need its own login")
}

fn reason(object: &Value) -> Option<&str> {
    REASONS.iter().find_map(|path| text_at(object, path))
}

fn text_at<'a>(object: &'a Value, path: &str) -> Option<&'a str> {
    value_at(object, path)?.as_str().filter(|text| !text.is_empty())
}

/// Adds the time zone to `expiresOn`, which `az` prints in local time. Prefers `expires_on`, as Azure's libraries do.
fn read_local_time(object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    if object.get("expires_on").is_some_and(|at| !Expiry::is_unstated(at)) {
        object.remove("expiresOn");
    }
    let Some(Value::String(text)) = object.get_mut("expiresOn") else { return };
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok();
    if let Some(at) = local.and_then(|local| Local.from_local_datetime(&local).earliest()) {
        *text = at.to_rfc3339_opts(SecondsFormat::Secs, false);
    }
}
