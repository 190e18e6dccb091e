//! Expiry times in a configured format.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::token::{Expiry, bounds, expiry, seconds};

/// The format of an expiry time in a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpiresAs {
    /// Seconds after the request (RFC 6749 section 5.1).
    Seconds,
    /// Seconds since 1970.
    Epoch,
    /// Milliseconds since 1970.
    EpochMillis,
    /// An RFC 3339 time, in UTC if the zone is missing.
    Rfc3339,
    /// A date, or a date and time in UTC: see [`Pattern`].
    Pattern(Pattern),
}

/// A date pattern: `MM/DD/YYYY`, `YYYY-MM-DD HH:mm:ss`, or strftime's `%m/%d/%Y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = [("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S")];
        let mut strftime = text.to_owned();
        let mut rest = String::new();
        if !text.contains('%') {
            strftime = words.iter().fold(strftime, |text, (word, item)| text.replace(word, item));
            // Letters of the pattern that belong to no known field are probably a mistyped field such as `YYY`.
            let known = words.iter().map(|(word, _)| *word).chain(["UTC", "GMT", "T", "Z"]);
            rest = known.fold(text.to_owned(), |text, word| text.replace(word, " "));
        }
        let bad = chrono::format::StrftimeItems::new(&strftime)
            .any(|item| matches!(item, chrono::format::Item::Error));
        if bad || !strftime.contains('%') || rest.contains(char::is_alphabetic) {
            return Err(format!("`{text}` is not a date pattern such as MM/DD/YYYY or %Y-%m-%d"));
        }
        Ok(Self(strftime))
    }

    /// Formats a time with the pattern.
    pub fn write(&self, at: DateTime<Utc>) -> String {
        at.format(&self.0).to_string()
    }

    /// Parses a time; a date without a time means the start of the day.
    pub fn read(&self, text: &str) -> Option<DateTime<Utc>> {
        let with_time = NaiveDateTime::parse_from_str(text, &self.0).ok();
        let date = || Some(NaiveDate::parse_from_str(text, &self.0).ok()?.and_time(chrono::NaiveTime::MIN));
        let with_zone = || DateTime::parse_from_str(text, &self.0).ok().map(|at| at.naive_utc());
        with_zone().or(with_time).or_else(date).map(|at| at.and_utc())
    }
}

impl ExpiresAs {
    /// Reads an expiry in exactly this format; `None` if the value has another format or states no expiry
    /// ([`Expiry::is_unstated`]). Times outside the years 0000 to 9999 become the nearest of these.
    pub fn read(&self, value: &Value) -> Option<Expiry> {
        if Expiry::is_unstated(value) {
            return None;
        }
        let text = || value.as_str().map(str::trim);
        Some(Expiry::At(match self {
            Self::Seconds => return seconds(value).map(Expiry::In),
            Self::Epoch => bounds::epoch(expiry::number(value)?),
            Self::EpochMillis => bounds::epoch(expiry::number(value)? / 1e3),
            Self::Rfc3339 => {
                let zoned = DateTime::parse_from_rfc3339(text()?).ok().map(|at| at.to_utc());
                let at = zoned
                    .or_else(|| Some(text()?.replace(' ', "T").parse::<NaiveDateTime>().ok()?.and_utc()));
                bounds::limit(at?)
            }
            Self::Pattern(pattern) => bounds::limit(pattern.read(text()?)?),
        }))
    }
}

impl<'de> Deserialize<'de> for ExpiresAs {
    /// Accepts `seconds`, `epoch`, `epoch_ms`, `rfc3339`, or a date pattern.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "seconds" => Self::Seconds,
            "epoch" => Self::Epoch,
            "epoch_ms" => Self::EpochMillis,
            "rfc3339" => Self::Rfc3339,
            pattern => Self::Pattern(Pattern::parse(pattern).map_err(|_| {
                crate::provider::values::wrong_form(
                    "\"seconds\", \"epoch\", \"epoch_ms\", \"rfc3339\" or a pattern such as \"MM/DD/YYYY\"",
                )
            })?),
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
