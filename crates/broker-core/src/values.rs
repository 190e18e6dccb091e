//! Values of a configuration that several kinds have. An environment layer has text only, so each is readable from it.

use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// Nothing that anybody means lives longer, and calendars have an end.
const LONGEST_LIFE: TimeDelta = TimeDelta::days(36_500);

/// An error that says only which form was expected: the value may be a secret.
pub(crate) fn wrong_form<E: de::Error>(form: &str) -> E {
    de::Error::invalid_value(de::Unexpected::Other("value"), &form)
}

/// A duration that is not zero, at most 100 years: `"12h"`, `"30d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigDuration(pub TimeDelta);

impl<'de> Deserialize<'de> for ConfigDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Value::deserialize(deserializer)? {
            Value::String(text) => humantime::parse_duration(&text).ok().filter(|life| !life.is_zero()),
            _ => None,
        };
        let life = read.and_then(|life| TimeDelta::from_std(life).ok()).filter(|life| *life <= LONGEST_LIFE);
        life.map(Self).ok_or_else(|| wrong_form("a duration: \"12h\", \"30d\""))
    }
}

/// A list of words; as one text they stand apart by blanks or commas, or are JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Value::deserialize(deserializer)? {
            Value::String(text) => serde_json::from_str(&text).ok().or_else(|| Some(apart(&text))),
            list => serde_json::from_value(list).ok(),
        };
        read.map(Self).ok_or_else(|| wrong_form("text or a list of texts: [\"one\", \"two\"]"))
    }
}

fn apart(text: &str) -> Vec<String> {
    let is_between = |c: char| c == ',' || c.is_whitespace();
    text.split(is_between).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A table; as one text it is JSON. TOML's own dates are texts.
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

/// A date arrives as a table of one text, as crate `toml` hands it to those who know no dates.
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

/// A program and its words; as one text a JSON list, or a program alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub Vec<String>);

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words: Option<Vec<String>> = match Value::deserialize(deserializer)? {
            // As text, a space is in a command line that was not split. In a list it may be in a path.
            Value::String(text) => {
                serde_json::from_str(&text).ok().or_else(|| (!text.contains(' ')).then(|| vec![text]))
            }
            list => serde_json::from_value(list).ok(),
        };
        let is_program = |words: &Vec<String>| words.first().is_some_and(|program| !program.is_empty());
        let words = words.filter(is_program);
        words.map(Self).ok_or_else(|| wrong_form("a list of words: [\"PROGRAM\", \"ARGUMENT\"]"))
    }
}
