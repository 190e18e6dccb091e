//! Programs that print a JSON object: `az account get-access-token`, `gcloud config config-helper --format json`, and
//! executables of Google's workload identity federation (AIP-4117).

use broker_core::{Error, ErrorCode, Expiry, Result, Secret, Token, redact, text_at, value_at};
use chrono::{DateTime, Local, NaiveDateTime, SecondsFormat, TimeZone, Utc};
use serde_json::Value;

use super::{RUN_IN_TERMINAL, Source};

/// The JSON paths where programs usually print a token, in order of precedence.
const TOKENS: [&str; 9] = [
    "access_token", "accessToken", "token", "credential.access_token", "auth.client_token", "status.token",
    "id_token", "iam_token", "authorizationToken",
];

/// The JSON paths where programs usually print why they failed, in order of precedence.
const REASONS: [&str; 13] = [
    "message", "error_description", "error.message", "errorMessage", "error", "errors.0.message",
    "errors.0.detail", "errors.0", "Message", "Error.Message", "Error", "detail", "msg",
];

impl Source {
    pub(super) fn json(&self, text: &str, now: DateTime<Utc>) -> Result<Token> {
        let mut object = read(text.as_bytes()).ok_or_else(|| self.failed("the output is not JSON"))?;
        if has_failed(&object) {
            return Err(self.failure(&object));
        }
        let usual = || TOKENS.iter().copied().find(|path| text_at(&object, path).is_some());
        let Some(path) = self.config.token.as_deref().or_else(usual) else {
            return Err(match object.get("saml_response") {
                _ if reason(&object).is_some() => self.failure(&object),
                Some(_) => {
                    self.failed("the program printed a SAML response, which is no token for HTTP requests")
                }
                None => self.failed(
                    "the JSON output has no known token field: set the key `token` to the token's path",
                ),
            });
        };
        let token = text_at(&object, path)
            .map(Secret::new)
            .ok_or_else(|| self.failed("the output has no token at the path that the key `token` sets"))?;
        if self.config.expires_as.is_none() {
            read_local_time(&mut object);
        }
        let Some(expires) = &self.config.expires else {
            return Ok(self.token(token, Expiry::beside(path, &object, now), now));
        };
        let stated = value_at(&object, expires).filter(|value| !Expiry::is_unstated(value));
        let read = |value| match &self.config.expires_as {
            Some(format) => format.read(value),
            None => Expiry::read(expires, value, now),
        };
        let expiry = stated.map(|value| {
            read(value).ok_or_else(|| {
                self.failed("the expiry in the output has an unknown format: set the key `expires_as`")
            })
        });
        Ok(self.token(token, expiry.transpose()?, now))
    }

    fn failure(&self, object: &Value) -> Error {
        let reason = reason(object).unwrap_or("no reason was printed");
        let code = text_at(object, "code").map(|code| format!(" ({code})")).unwrap_or_default();
        let reason = redact(&format!("{reason}{code}"), &[]);
        let message = format!("program `{}` failed: {reason}", self.program.name());
        Error::new(ErrorCode::ProgramFailed, message).with_hint(RUN_IN_TERMINAL)
    }
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

fn reason(object: &Value) -> Option<&str> {
    REASONS.iter().find_map(|path| text_at(object, path))
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
