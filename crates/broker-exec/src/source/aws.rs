//! `credential_process` of Amazon's tools, version 1.

use broker_core::{Derived, ExpiresAs, Secret};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ends, Printed};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    version: u64,
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    expiration: Option<Value>,
}

pub(super) fn read(text: &str) -> Result<Printed, &'static str> {
    let process: Process = serde_json::from_str(text)
        .map_err(|_| "printed no keys: Version, AccessKeyId and SecretAccessKey are needed")?;
    if process.version != 1 {
        return Err("printed keys of another version than 1");
    }
    let session = process.session_token.filter(|token| !token.expose().is_empty());
    // Keys without a session token are somebody's for ever: no program gets those from the broker.
    let session =
        session.ok_or("printed keys without a session token: keys without an end are not handed out")?;
    let keys = json!({
        "AccessKeyId": process.access_key_id.expose(),
        "SecretAccessKey": process.secret_access_key.expose(),
        "SessionToken": session.expose(),
    });
    let ends = match process.expiration.filter(|end| !end.is_null()) {
        None => Ends::Unsaid,
        // Without a zone it is UTC; the form has no time that is counted from now.
        Some(end) => ExpiresAs::Rfc3339
            .read(&end, DateTime::UNIX_EPOCH)
            .map(Ends::At)
            .ok_or("printed an Expiration that is no time as in RFC 3339")?,
    };
    Ok(Printed { secret: Secret::new(keys.to_string()), ends, token_type: Some(Derived::AWS) })
}
