//! An object that has a token: `az account get-access-token`, `gcloud config config-helper --format json`.

use broker_core::{ExpiresAs, Secret, seconds, value_at};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Ends, Printed};
use crate::config::Config;

/// Where a token usually stands; the first that is there.
const TOKENS: [&str; 6] =
    ["access_token", "accessToken", "token", "credential.access_token", "auth.client_token", "id_token"];

/// Where it says how long it lives.
const LIVES: [&str; 3] = ["expires_in", "expiresIn", "auth.lease_duration"];

/// Where it says when it ends. az has it twice: `expires_on` in seconds since 1970, and `expiresOn` by the clock on the
/// wall, which is not to be read.
const TIMES: [&str; 9] = [
    "expires_on",
    "expires_at",
    "expiresAt",
    "expiresOn",
    "expiry",
    "expiration",
    "expirationTimestamp",
    "token_expiry",
    "credential.token_expiry",
];

/// Seconds since 1970 are below this for the next thousands of years, milliseconds above.
const MILLIS: f64 = 1e11;

pub(super) fn read(text: &str, config: &Config, now: DateTime<Utc>) -> Result<Printed, &'static str> {
    let object: Value = serde_json::from_str(text).map_err(|_| "printed no JSON")?;
    let word = |path: &str| value_at(&object, path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = match &config.token {
        Some(path) => word(path).ok_or("printed an object without a token at the path of `token`")?,
        None => TOKENS.iter().find_map(|path| word(path)).ok_or(
            "printed an object without a token at a usual place: `token` of this provider can name the path",
        )?,
    };
    let ends = if let Some(path) = &config.expires {
        let value =
            value_at(&object, path).ok_or("printed an object without an end at the path of `expires`")?;
        let at = match &config.expires_as {
            _ if is_nothing(value) => None,
            Some(form) => Some(form.read(value, now)),
            None => Some(moment(value)),
        };
        let unread = "printed an end that cannot be read: `expires_as` of this provider says its form";
        at.map(|at| at.ok_or(unread)).transpose()?
    } else {
        let said = |path: &str| value_at(&object, path).filter(|value| !is_nothing(value));
        let life = |path: &&str| now.checked_add_signed(seconds(said(path)?)?);
        let time = |path: &&str| moment(said(path)?);
        TIMES.iter().find_map(time).or_else(|| LIVES.iter().find_map(life))
    };
    Ok(Printed { secret: Secret::new(token), ends: ends.map_or(Ends::Unsaid, Ends::At), token_type: None })
}

/// Some write so that there is no end, or that nobody knows it: Vault, of a token of its root.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || seconds(value).is_some_and(|number| number.is_zero())
}

/// A moment in any form that can be told: since 1970, or with its zone.
fn moment(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(text) = value.as_str()
        && let Ok(at) = DateTime::parse_from_rfc3339(text.trim())
    {
        return Some(at.to_utc());
    }
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let form = if number > MILLIS { ExpiresAs::EpochMillis } else { ExpiresAs::Epoch };
    form.read(value, DateTime::UNIX_EPOCH)
}
