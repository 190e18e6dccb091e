//! Programs that print an `ExecCredential` of kubectl (client.authentication.k8s.io).

use broker_core::{Expiry, Secret};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

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
    expiration_timestamp: Option<Value>,
}

pub(super) fn parse(text: &str, now: DateTime<Utc>) -> Result<PrintedToken, &'static str> {
    let credential: ExecCredential =
        serde_json::from_str(text).map_err(|_| "the output is not an ExecCredential")?;
    let status = credential
        .status
        .filter(|_| credential.kind == "ExecCredential")
        .ok_or("the output is not an ExecCredential with a status")?;
    let secret = status.token.ok_or("the printed ExecCredential has no token")?;
    let stated = status.expiration_timestamp.filter(|at| !Expiry::is_unstated(at));
    let expiry = stated.map(|at| {
        Expiry::read("expirationTimestamp", &at, now)
            .ok_or("the expirationTimestamp of the printed ExecCredential is not a time")
    });
    Ok(PrintedToken { secret, expiry: expiry.transpose()?.into_iter().collect(), token_type: None })
}
