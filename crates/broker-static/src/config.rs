//! The configuration keys of `kind = "static"`.

use std::collections::BTreeMap;

use broker_core::{ConfigDuration, SecretSource, Settings, SettingsError};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, de};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) token: Option<SecretSource>,
    pub(crate) username: Option<String>,
    pub(crate) life: Option<ConfigDuration>,
    #[serde(default, deserialize_with = "expiry")]
    pub(crate) expires: Option<DateTime<Utc>>,
}

impl Config {
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let config: Self = settings.parse()?;
        // HTTP Basic forbids colons and control characters in user names (RFC 7617 section 2).
        let invalid = |name: &String| name.is_empty() || name.contains(|c: char| c == ':' || c.is_control());
        if config.username.as_ref().is_some_and(invalid) {
            let message =
                "the user name must not be empty or contain a colon or control characters (HTTP Basic)";
            return Err(SettingsError::new("username", message));
        }
        Ok(config)
    }
}

/// Reads a time, or a date that means the start of the day in UTC.
fn expiry<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Expiry {
        Text(String),
        /// The TOML parser represents a date as a map with one string value.
        Date(BTreeMap<String, String>),
    }
    let text = match Expiry::deserialize(deserializer) {
        Ok(Expiry::Text(text)) => text,
        Ok(Expiry::Date(date)) if date.len() == 1 => date.into_values().collect(),
        _ => String::new(),
    };
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(chrono::NaiveTime::MIN).and_utc());
    let expiry = DateTime::parse_from_rfc3339(&text).ok().map(|at| at.to_utc()).or_else(day);
    let form = "a date or a time: \"2027-01-31\", \"2027-01-31T12:00:00Z\"";
    expiry.map(Some).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Other("value"), &form))
}
