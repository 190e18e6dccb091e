//! JSON request bodies with placeholders.

use broker_core::{Result, SettingsError};
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::template::{Placeholder, Template, Values};

/// A JSON body that contains secrets, which are zeroized when dropped.
pub(crate) struct ZeroizingJson(pub(crate) Value);

impl Drop for ZeroizingJson {
    fn drop(&mut self) {
        zeroize(&mut self.0);
    }
}

fn zeroize(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(zeroize),
        Value::Object(table) => table.values_mut().for_each(zeroize),
        _ => {}
    }
}

/// A JSON body whose texts contain placeholders.
pub(crate) enum Node {
    Text(Template),
    List(Vec<Node>),
    Table(Vec<(String, Node)>),
    Other(Value),
}

impl Node {
    pub(crate) fn of(value: Value, key: &str) -> Result<Self, SettingsError> {
        Ok(match value {
            Value::String(text) => {
                let error = |message: String| SettingsError::new(key, message);
                Self::Text(Template::parse(&text).map_err(error)?)
            }
            Value::Array(list) => {
                Self::List(list.into_iter().map(|value| Self::of(value, key)).collect::<Result<_, _>>()?)
            }
            Value::Object(table) => {
                let entry = |(name, value)| {
                    let node = Self::of(value, &format!("{key}.{name}"))?;
                    Ok((name, node))
                };
                Self::Table(table.into_iter().map(entry).collect::<Result<_, _>>()?)
            }
            other => Self::Other(other),
        })
    }

    /// Collects each placeholder with the configuration key that contains the placeholder.
    pub(crate) fn placeholders<'a>(&'a self, key: &str, all: &mut Vec<(String, &'a Placeholder)>) {
        match self {
            Self::Text(text) => all.extend(text.placeholders().map(|it| (key.to_owned(), it))),
            Self::List(list) => list.iter().for_each(|node| node.placeholders(key, all)),
            Self::Table(table) => {
                for (name, node) in table {
                    node.placeholders(&format!("{key}.{name}"), all);
                }
            }
            Self::Other(_) => {}
        }
    }

    pub(crate) fn fill(&self, values: &Values<'_>) -> Result<Value> {
        Ok(match self {
            Self::Text(text) => Value::String(std::mem::take(&mut *text.fill(values)?)),
            Self::List(list) => list.iter().map(|node| node.fill(values)).collect::<Result<_>>()?,
            Self::Table(table) => {
                let entry = |(name, node): &(String, Self)| Ok((name.clone(), node.fill(values)?));
                Value::Object(table.iter().map(entry).collect::<Result<Map<_, _>>>()?)
            }
            Self::Other(value) => value.clone(),
        })
    }
}
