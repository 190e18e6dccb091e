//! Programs that implement `credential_process` of AWS tools, version 1.

use broker_core::{Derived, ExpiresAs, Secret};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::PrintedToken;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    version: u64,
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    expiration: Option<Value>,
}

pub(super) fn parse(text: &str) -> Result<PrintedToken, &'static str> {
    let credentials: Credentials = serde_json::from_str(text).map_err(
        |_| "the output is not AWS credentials: JSON with Version, AccessKeyId and SecretAccessKey",
    )?;
    if credentials.version != 1 {
        return Err("the Version of the printed AWS credentials is not 1");
    }
    // The broker rejects permanent AWS keys, which have no session token.
    let session_token = credentials
        .session_token
        .filter(|token| !token.expose().is_empty())
        .ok_or("the printed AWS credentials are permanent: they need a SessionToken")?;
    let keys = json!({
        "AccessKeyId": credentials.access_key_id.expose(),
        "SecretAccessKey": credentials.secret_access_key.expose(),
        "SessionToken": session_token.expose(),
    });
    // An expiration without a time zone is in UTC.
    let expires_at = credentials.expiration.filter(|expiration| !expiration.is_null()).map(|expiration| {
        ExpiresAs::Rfc3339
            .read(&expiration, DateTime::UNIX_EPOCH)
            .ok_or("the Expiration of the printed AWS credentials is not an RFC 3339 time")
    });
    Ok(PrintedToken {
        secret: Secret::new(keys.to_string()),
        expires_at: expires_at.transpose()?,
        token_type: Some(Derived::AWS),
    })
}
