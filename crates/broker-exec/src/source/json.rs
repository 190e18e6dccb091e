//! Programs that print a JSON object: `az account get-access-token`, `gcloud config config-helper --format json`.

use broker_core::{ExpiresAs, Secret, seconds, value_at};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::PrintedToken;
use crate::config::Config;

/// The JSON paths where programs usually print a token, in order of precedence.
const TOKENS: [&str; 6] =
    ["access_token", "accessToken", "token", "credential.access_token", "auth.client_token", "id_token"];

/// The JSON paths where programs usually print a lifetime in seconds.
const LIFETIMES: [&str; 3] = ["expires_in", "expiresIn", "auth.lease_duration"];

/// The JSON paths where programs usually print an expiry, in order of precedence. `az` prints `expiresOn` in local time.
const EXPIRIES: [&str; 9] = [
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

/// A number above this limit is a time in milliseconds since 1970. A smaller number is in seconds.
const MIN_MILLIS: f64 = 1e11;

pub(super) fn parse(text: &str, config: &Config, now: DateTime<Utc>) -> Result<PrintedToken, &'static str> {
    let object: Value = serde_json::from_str(text).map_err(|_| "the output is not JSON")?;
    let text_at =
        |path: &str| value_at(&object, path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = match &config.token {
        Some(path) => text_at(path).ok_or("the output has no token at the path that the key `token` sets")?,
        None => TOKENS
            .iter()
            .find_map(|path| text_at(path))
            .ok_or("the JSON output has no known token field: set the key `token` to the token's path")?,
    };
    let expires_at = if let Some(path) = &config.expires {
        let value = value_at(&object, path)
            .ok_or("the output has no expiry at the path that the key `expires` sets")?;
        let expires_at = config.expires_as.as_ref().map_or_else(|| time(value), |form| form.read(value, now));
        if expires_at.is_none() && !is_none(value) {
            return Err("the expiry in the output has an unknown format: set the key `expires_as`");
        }
        expires_at.filter(|_| !is_none(value))
    } else {
        let stated = |path: &str| value_at(&object, path).filter(|value| !is_none(value));
        let by_lifetime = |path: &&str| now.checked_add_signed(seconds(stated(path)?)?);
        let by_time = |path: &&str| time(stated(path)?);
        EXPIRIES.iter().find_map(by_time).or_else(|| LIFETIMES.iter().find_map(by_lifetime))
    };
    Ok(PrintedToken { secret: Secret::new(token), expires_at, token_type: None })
}

/// Whether the value means that the token has no known expiry: null, or zero (Vault's root tokens).
fn is_none(value: &Value) -> bool {
    value.is_null() || seconds(value).is_some_and(|number| number.is_zero())
}

/// Reads an RFC 3339 time with a zone, or a number of seconds or milliseconds since 1970.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    if let Some(text) = value.as_str()
        && let Ok(at) = DateTime::parse_from_rfc3339(text.trim())
    {
        return Some(at.to_utc());
    }
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    let format = if number > MIN_MILLIS { ExpiresAs::EpochMillis } else { ExpiresAs::Epoch };
    format.read(value, DateTime::UNIX_EPOCH)
}
