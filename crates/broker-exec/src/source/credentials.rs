//! Programs that print credentials in the format of AWS, kubectl or cargo.

use broker_core::{Derived, Error, ErrorCode, ExpiresAs, Expiry, Result, Secret, Token, sanitize};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Source;
use crate::wire::Hello;

/// The value of `KUBERNETES_EXEC_INFO`, which tells the program not to prompt the user.
pub(super) const KUBECTL_INFO: &str = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}"#;

/// The lifetime of a token for which a program of cargo reports `cache: "never"`.
const UNCACHED: TimeDelta = TimeDelta::seconds(1);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AwsCredentials {
    version: u64,
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    expiration: Option<Value>,
}

/// An `ExecCredential` of kubectl (client.authentication.k8s.io).
#[derive(Deserialize)]
struct ExecCredential {
    kind: String,
    status: Option<ExecStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecStatus {
    token: Option<Secret>,
    expiration_timestamp: Option<Value>,
}

#[derive(Deserialize)]
enum CargoResponse {
    Ok { token: Secret, cache: Option<String>, expiration: Option<Value> },
    Err { kind: String, message: Option<String> },
}

impl Source {
    /// Reads the output of a `credential_process` of AWS tools, version 1.
    pub(super) fn aws(&self, text: &str, now: DateTime<Utc>) -> Result<Token> {
        let credentials: AwsCredentials = serde_json::from_str(text).map_err(|_| {
            self.failed(
                "the output is not AWS credentials: JSON with Version, AccessKeyId and SecretAccessKey",
            )
        })?;
        if credentials.version != 1 {
            return Err(self.failed("the Version of the printed AWS credentials is not 1"));
        }
        // The broker rejects permanent AWS keys, which have no session token.
        let session_token = credentials.session_token.filter(|token| !token.expose().is_empty());
        let session_token = session_token.ok_or_else(|| {
            self.failed("the printed AWS credentials are permanent: they need a SessionToken")
        })?;
        let keys = json!({
            "AccessKeyId": credentials.access_key_id.expose(),
            "SecretAccessKey": credentials.secret_access_key.expose(),
            "SessionToken": session_token.expose(),
        });
        let expiry = self.stated_expiry("Expiration", credentials.expiration.as_ref(), now)?;
        Ok(self.token(Secret::new(keys.to_string()), expiry, now).with_type(Derived::AWS))
    }

    pub(super) fn kubectl(&self, text: &str, now: DateTime<Utc>) -> Result<Token> {
        let credential: Option<ExecCredential> = serde_json::from_str(text).ok();
        let credential = credential.filter(|credential| credential.kind == "ExecCredential");
        let status = credential.and_then(|credential| credential.status);
        let status =
            status.ok_or_else(|| self.failed("the output is not an ExecCredential with a status"))?;
        let secret = status.token.ok_or_else(|| self.failed("the printed ExecCredential has no token"))?;
        let expiry = self.stated_expiry("expirationTimestamp", status.expiration_timestamp.as_ref(), now)?;
        Ok(self.token(secret, expiry, now))
    }

    fn stated_expiry(&self, key: &str, value: Option<&Value>, now: DateTime<Utc>) -> Result<Option<Expiry>> {
        let Some(value) = value.filter(|value| !Expiry::is_unstated(value)) else { return Ok(None) };
        let expiry = Expiry::read(key, value, now);
        expiry.map(Some).ok_or_else(|| self.failed(&format!("the printed {key} is not a time")))
    }

    /// Reads the output of a credential provider of cargo, version 1.
    pub(super) fn cargo(&self, text: &str, now: DateTime<Utc>) -> Result<Token> {
        let (name, mut lines) = (self.program.name(), text.lines());
        let hello = lines.next().and_then(|line| serde_json::from_str::<Hello>(line).ok());
        let versions = hello.ok_or_else(|| {
            self.failed("the first line of the output is not the list of versions of cargo's protocol")
        })?;
        if !versions.v.contains(&1) {
            let versions = Value::from(versions.v);
            let message = format!("program `{name}` uses versions {versions} of cargo's protocol, not 1");
            return Err(Error::new(ErrorCode::ProtocolMismatch, message));
        }
        match lines.next().and_then(|line| serde_json::from_str(line).ok()) {
            None => Err(self.failed("the output has no response of cargo's protocol")),
            Some(CargoResponse::Err { kind, message }) => {
                let text = sanitize(message.as_deref().unwrap_or_default());
                let text = format!("program `{name}` failed: {} {text}", sanitize(&kind));
                Err(match kind.as_str() {
                    "not-found" => Error::login_required(text).with_hint(format!("log in with `{name}`")),
                    "url-not-supported" | "operation-not-supported" => Error::configuration(text),
                    _ => Error::new(ErrorCode::ProgramFailed, text),
                })
            }
            Some(CargoResponse::Ok { token, cache, expiration }) => {
                let expiry = match (cache.as_deref(), expiration) {
                    (Some("never"), _) => Some(Expiry::In(UNCACHED)),
                    (Some("expires"), Some(at)) => {
                        ExpiresAs::Epoch.read(&at).or_else(|| Expiry::read("expiration", &at, now))
                    }
                    _ => None,
                };
                Ok(self.token(token, expiry, now))
            }
        }
    }
}

/// Returns the request for a token that can read from the registry.
pub(super) fn cargo_request(registry: &str) -> Vec<u8> {
    let request = json!({
        "v": 1, "registry": { "index-url": registry }, "kind": "get", "operation": "read", "args": [],
    });
    format!("{request}\n").into_bytes()
}

/// Whether the output is an error response of a credential provider of cargo.
pub(super) fn is_cargo_error(output: &[u8]) -> bool {
    let text = std::str::from_utf8(output).unwrap_or_default();
    let response = text.lines().nth(1).map(serde_json::from_str);
    matches!(response, Some(Ok(CargoResponse::Err { .. })))
}
