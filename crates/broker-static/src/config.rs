//! The configuration keys of `kind = "static"`.

use std::fmt;

use broker_core::{ConfigDuration, SecretSource, Settings, SettingsError};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, de};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) token: Option<SecretSource>,
    pub(crate) username: Option<String>,
    pub(crate) life: Option<ConfigDuration>,
    pub(crate) expires: Option<Expiry>,
}

impl Config {
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let config: Self = settings.parse()?;
        // HTTP Basic forbids colons and control characters in user names (RFC 7617 section 2).
        let invalid = |name: &String| name.is_empty() || name.contains(|c: char| c == ':' || c.is_control());
        if config.username.as_ref().is_some_and(invalid) {
            let message =
                "the user name must not be empty or contain a colon, because HTTP Basic cannot represent it";
            return Err(SettingsError::new("username", message));
        }
        Ok(config)
    }
}

/// An expiry: a time, or the start of a date in UTC (`"2027-01-31T12:00:00Z"`, `"2027-01-31"`).
pub(crate) struct Expiry(pub(crate) DateTime<Utc>);

impl Expiry {
    fn read(text: &str) -> Option<Self> {
        let date = || Some(text.parse::<NaiveDate>().ok()?.and_time(chrono::NaiveTime::MIN).and_utc());
        DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()).or_else(date).map(Self)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Expiry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date or a time: \"2027-01-31\", \"2027-01-31T12:00:00Z\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Expiry, E> {
                Expiry::read(text).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(text), &self))
            }

            /// The TOML parser passes a date as a map with one text.
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Expiry, A::Error> {
                let entry: Option<(String, String)> = map.next_entry()?;
                let expiry = entry.and_then(|(_, text)| Expiry::read(&text));
                expiry.ok_or_else(|| de::Error::invalid_value(de::Unexpected::Map, &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
