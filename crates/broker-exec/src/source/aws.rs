//! Programs that implement `credential_process` of AWS tools, version 1.

use broker_core::{Derived, Expiry, Secret};
use chrono::{DateTime, Utc};
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

pub(super) fn parse(text: &str, now: DateTime<Utc>) -> Result<PrintedToken, &'static str> {
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
    let expiry =
        credentials.expiration.filter(|expiration| !Expiry::is_unstated(expiration)).map(|expiration| {
            Expiry::read("Expiration", &expiration, now)
                .ok_or("the Expiration of the printed AWS credentials is not a time")
        });
    let expiry = expiry.transpose()?.into_iter().collect();
    Ok(PrintedToken { secret: Secret::new(keys.to_string()), expiry, token_type: Some(Derived::AWS) })
}
