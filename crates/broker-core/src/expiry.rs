//! When something ends, in the forms that services write it.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::seconds;

/// How a service writes when a token expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpiresAs {
    /// Seconds from now (RFC 6749 section 5.1).
    Seconds,
    /// Seconds since 1970.
    Epoch,
    /// Milliseconds since 1970.
    EpochMillis,
    /// A time as in RFC 3339; without a zone it is UTC.
    Rfc3339,
    /// A date, or a date and a time of UTC, by a pattern: see [`Pattern`].
    Pattern(Pattern),
}

/// A pattern of dates: `MM/DD/YYYY`, `YYYY-MM-DD HH:mm:ss`; or in the words of strftime, `%m/%d/%Y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = [("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S")];
        let mut strftime = text.to_owned();
        let mut rest = String::new();
        if !text.contains('%') {
            strftime = words.iter().fold(strftime, |text, (word, item)| text.replace(word, item));
            // What is left is itself, and nearly always a mistake if it is a letter.
            let known = words.iter().map(|(word, _)| *word).chain(["UTC", "GMT", "T", "Z"]);
            rest = known.fold(text.to_owned(), |text, word| text.replace(word, " "));
        }
        let bad = chrono::format::StrftimeItems::new(&strftime)
            .any(|item| matches!(item, chrono::format::Item::Error));
        if bad || !strftime.contains('%') || rest.contains(char::is_alphabetic) {
            return Err(format!("`{text}` is no pattern of dates, as MM/DD/YYYY or %Y-%m-%d"));
        }
        Ok(Self(strftime))
    }

    /// The time as text.
    #[must_use]
    pub fn write(&self, at: DateTime<Utc>) -> String {
        at.format(&self.0).to_string()
    }

    /// The time in a text; of a date, when it begins.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<DateTime<Utc>> {
        let with_time = NaiveDateTime::parse_from_str(text, &self.0).ok();
        let date = || Some(NaiveDate::parse_from_str(text, &self.0).ok()?.and_time(chrono::NaiveTime::MIN));
        let with_zone = || DateTime::parse_from_str(text, &self.0).ok().map(|at| at.naive_utc());
        with_zone().or(with_time).or_else(date).map(|at| at.and_utc())
    }
}

impl ExpiresAs {
    /// What a service wrote, in what was sent at `sent_at`: when it ends, by the clock that `sent_at` is of for
    /// [`ExpiresAs::Seconds`], by the service's for all others.
    #[must_use]
    pub fn read(&self, value: &Value, sent_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let text = || value.as_str().map(str::trim);
        match self {
            Self::Seconds => sent_at.checked_add_signed(seconds(value)?),
            Self::Epoch => DateTime::UNIX_EPOCH.checked_add_signed(seconds(value)?),
            Self::EpochMillis => DateTime::UNIX_EPOCH.checked_add_signed(seconds(value)? / 1000),
            Self::Rfc3339 => {
                let zoned = DateTime::parse_from_rfc3339(text()?).ok().map(|at| at.to_utc());
                zoned.or_else(|| Some(text()?.replace(' ', "T").parse::<NaiveDateTime>().ok()?.and_utc()))
            }
            Self::Pattern(pattern) => pattern.read(text()?),
        }
    }
}

impl<'de> Deserialize<'de> for ExpiresAs {
    /// `seconds`, `epoch`, `epoch_ms`, `rfc3339`, or a pattern of dates.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match text.as_str() {
            "seconds" => Self::Seconds,
            "epoch" => Self::Epoch,
            "epoch_ms" => Self::EpochMillis,
            "rfc3339" => Self::Rfc3339,
            pattern => Self::Pattern(Pattern::parse(pattern).map_err(|_| {
                crate::values::wrong_form(
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

/// The value at a path of keys with dots between, `data.token`; a number is a place in a list, from 0.
#[must_use]
pub fn value_at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        _ => value.get(key),
    })
}
