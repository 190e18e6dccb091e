//! `ExecCredential` of kubectl (client.authentication.k8s.io).

use broker_core::Secret;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Ends, Printed};

/// What kubectl tells its plugins. Nobody is there for them to ask.
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

pub(super) fn read(text: &str) -> Result<Printed, &'static str> {
    let answer: ExecCredential = serde_json::from_str(text).map_err(|_| "printed no ExecCredential")?;
    let status =
        answer.status.filter(|_| answer.kind == "ExecCredential").ok_or("printed no ExecCredential")?;
    let secret = status.token.ok_or("printed an ExecCredential without a token")?;
    // Without it a token lasts until it is refused, so it is asked for again now and then.
    let ends = status.expiration_timestamp.map_or(Ends::Unsaid, Ends::At);
    Ok(Printed { secret, ends, token_type: None })
}
