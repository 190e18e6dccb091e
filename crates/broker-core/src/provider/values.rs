//! Types of configuration values. Each value can also be text, because environment variables contain only text.

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::token::bounds;

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
