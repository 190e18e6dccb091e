//! Programs that print an `ExecCredential` of kubectl (client.authentication.k8s.io).

use broker_core::Secret;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::PrintedToken;

/// The value of `KUBERNETES_EXEC_INFO`, which tells the program not to prompt the user.
pub(super) const INFO: &str = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}"#;

#[derive(Deserialize)]
struct ExecCredential {
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    token: Option<Secret>,
    expiration_timestamp: Option<DateTime<Utc>>,
}

pub(super) fn parse(text: &str) -> Result<PrintedToken, &'static str> {
    let credential: ExecCredential =
        serde_json::from_str(text).map_err(|_| "the output is not an ExecCredential")?;
    let status = credential
        .status
        .filter(|_| credential.kind == "ExecCredential")
        .ok_or("the output is not an ExecCredential with a status")?;
    let secret = status.token.ok_or("the printed ExecCredential has no token")?;
    Ok(PrintedToken { secret, expires_at: status.expiration_timestamp, token_type: None })
}
