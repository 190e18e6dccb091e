//! The keys of `kind = "static"`.

use std::fmt;

use broker_core::{ConfigDuration, SecretSource, Settings, SettingsError};
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, de};

/// A provider of the kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) token: Option<SecretSource>,
    pub(crate) username: Option<String>,
    pub(crate) life: Option<ConfigDuration>,
    pub(crate) expires: Option<End>,
}

impl Config {
    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let config: Self = settings.parse()?;
        // RFC 7617 section 2.
        let unfit = |name: &String| name.is_empty() || name.contains(|c: char| c == ':' || c.is_control());
        if config.username.as_ref().is_some_and(unfit) {
            let message = "it must be a name without a colon, as HTTP Basic sends it";
            return Err(SettingsError::new("username", message));
        }
        Ok(config)
    }
}

/// A date, which ends when it begins (UTC), or a time: `"2027-01-31"`, `"2027-01-31T12:00:00Z"`.
pub(crate) struct End(pub(crate) DateTime<Utc>);

impl End {
    fn read(text: &str) -> Option<Self> {
        let date = || Some(text.parse::<NaiveDate>().ok()?.and_time(chrono::NaiveTime::MIN).and_utc());
        DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()).or_else(date).map(Self)
    }
}

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = End;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date or a time: \"2027-01-31\", \"2027-01-31T12:00:00Z\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<End, E> {
                End::read(text).ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(text), &self))
            }

            /// TOML's own dates arrive as a table of one text.
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<End, A::Error> {
                let entry: Option<(String, String)> = map.next_entry()?;
                let end = entry.and_then(|(_, text)| End::read(&text));
                end.ok_or_else(|| de::Error::invalid_value(de::Unexpected::Map, &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
