//! Types of configuration values. Each value can also be text, because environment variables contain only text.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::token::{Expiry, bounds, expiry, seconds};

/// Returns an error that names only the expected form, because the value may be a secret.
pub(crate) fn wrong_form<E: de::Error>(form: &str) -> E {
    de::Error::invalid_value(de::Unexpected::Other("value"), &form)
}

/// A duration above zero, at most 100 years: `"12h"`, `"30d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigDuration(pub TimeDelta);

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).unwrap_or_default();
        let duration = humantime::parse_duration(&text).ok().and_then(|read| TimeDelta::from_std(read).ok());
        let duration = duration.filter(|duration| !duration.is_zero() && *duration <= bounds::LONGEST);
        duration.map(Self).ok_or_else(|| wrong_form("a duration: \"12h\", \"30d\""))
    }
}

/// A configured list of words: a list, words separated by spaces or commas, or the text of a JSON list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Value::deserialize(deserializer)? {
            Value::String(text) => serde_json::from_str(&text).ok().or_else(|| Some(split(&text))),
            list => serde_json::from_value(list).ok(),
        };
        read.map(Self).ok_or_else(|| wrong_form("text or a list of texts: [\"one\", \"two\"]"))
    }
}

fn split(text: &str) -> Vec<String> {
    let is_separator = |c: char| c == ',' || c.is_whitespace();
    text.split(is_separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A configuration table, which may also be the text of a JSON object. TOML dates become text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Value::deserialize(deserializer)? {
            Value::Object(mut fields) => {
                fields.values_mut().for_each(dates_as_text);
                Some(fields)
            }
            Value::String(text) => serde_json::from_str(&text).ok(),
            _ => None,
        };
        read.map(Self).ok_or_else(|| wrong_form("a table: { name = \"value\" }"))
    }
}

/// Converts TOML dates to text. The crate `toml` passes a date as a table with one text.
fn dates_as_text(value: &mut Value) {
    match value {
        Value::Object(table) => match table.remove("$__toml_private_datetime") {
            Some(date) => *value = date,
            None => table.values_mut().for_each(dates_as_text),
        },
        Value::Array(list) => list.iter_mut().for_each(dates_as_text),
        _ => {}
    }
}

/// A configured program with arguments: a list, the text of a JSON list, or the text of a program's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub Vec<String>);

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words: Option<Vec<String>> = match Value::deserialize(deserializer)? {
            // A text with spaces is probably a command line, and cannot be split safely.
            Value::String(text) => {
                serde_json::from_str(&text).ok().or_else(|| (!text.contains(' ')).then(|| vec![text]))
            }
            list => serde_json::from_value(list).ok(),
        };
        let is_program = |words: &Vec<String>| words.first().is_some_and(|program| !program.is_empty());
        words
            .filter(is_program)
            .map(Self)
            .ok_or_else(|| wrong_form("a list of words: [\"PROGRAM\", \"ARGUMENT\"]"))
    }
}

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
                wrong_form(
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
