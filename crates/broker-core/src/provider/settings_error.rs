//! Errors in configuration tables, and the deserializer that creates such errors.

use std::fmt::Display;

use serde::Deserializer;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{self, Expected, IntoDeserializer, Unexpected, Visitor};
use serde_json::Value;

/// An invalid value in a provider's configuration table.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    /// The invalid or missing key, with dots between nested names; `.` for the whole table; empty if the cause is
    /// outside the configuration.
    pub key: String,
    /// What is wrong and how to correct it.
    pub message: String,
    /// The cause in a form that programs can match.
    pub problem: SettingsProblem,
}

/// The cause of a [`SettingsError`], which programs can match.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsProblem {
    /// The configuration table has an unknown key.
    UnknownKey {
        /// The unknown key.
        key: String,
        /// The keys that the configuration table may have.
        known: &'static [&'static str],
    },
    /// A required key is missing. The text says what value to write, and may be empty.
    MissingKey(String),
    /// The value does not have the expected form, which this text describes.
    Expected(String),
    /// An environment variable sets a URL, and the secret for this URL is from another source. The text is a hint.
    MixedSources(String),
    /// Any other problem: see [`SettingsError::message`].
    Other,
}

impl SettingsError {
    /// Creates an error with [`SettingsProblem::Other`].
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), problem: SettingsProblem::Other }
    }

    /// Creates an error for a missing configuration key. `form` says what value to write, and may be empty.
    pub fn missing(key: impl Into<String>, form: &str) -> Self {
        let message = if form.is_empty() { "is missing".to_owned() } else { format!("is missing: {form}") };
        Self { key: key.into(), message, problem: SettingsProblem::MissingKey(form.to_owned()) }
    }

    /// Creates an error for a configuration value that does not have the form `form`.
    pub fn expected(key: impl Into<String>, form: impl Into<String>) -> Self {
        let form = form.into();
        Self {
            key: key.into(),
            message: format!("expected {form}"),
            problem: SettingsProblem::Expected(form),
        }
    }

    /// Sets the error's key to the path of the invalid value, or of the missing key in the table at `path`.
    pub(crate) fn within(mut self, path: &str) -> Self {
        self.key = match self.problem {
            SettingsProblem::MissingKey(_) if path == "." => self.key,
            SettingsProblem::MissingKey(_) => format!("{path}.{}", self.key),
            _ => path.to_owned(),
        };
        self
    }
}

impl de::Error for SettingsError {
    fn custom<T: Display>(message: T) -> Self {
        Self::new("", message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, form: &dyn Expected) -> Self {
        Self::expected("", form.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, form: &dyn Expected) -> Self {
        Self::expected("", form.to_string())
    }

    fn invalid_length(_: usize, form: &dyn Expected) -> Self {
        Self::expected("", form.to_string())
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        let known: Vec<_> = known.iter().map(|name| format!("\"{name}\"")).collect();
        Self::expected("", known.join(" or "))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let problem = SettingsProblem::UnknownKey { key: field.to_owned(), known };
        Self { key: String::new(), message: format!("there is no key `{field}`"), problem }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::missing(field, "")
    }
}

/// A configuration value that serde can deserialize, with [`SettingsError`] as the error type.
#[derive(Clone, Copy)]
pub(crate) struct SettingsValue<'a>(pub(crate) &'a Value);

impl<'de> IntoDeserializer<'de, SettingsError> for SettingsValue<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for SettingsValue<'de> {
    type Error = SettingsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        match self.0 {
            Value::Array(list) => {
                // `SeqDeserializer` reports an error for unused list elements; `visit_seq` would ignore them.
                SeqDeserializer::new(list.iter().map(SettingsValue)).deserialize_any(visitor)
            }
            Value::Object(table) => {
                let entries = table.iter().map(|(key, value)| (key.as_str(), SettingsValue(value)));
                MapDeserializer::new(entries).deserialize_any(visitor)
            }
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), ..) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, number) => visitor.visit_f64(number.unwrap_or(f64::NAN)),
            },
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingsError> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingsError> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Object(table) if table.len() == 1 => {
                let entries = table.iter().map(|(key, value)| (key.as_str(), SettingsValue(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(entries)))
            }
            _ => Err(SettingsError::expected("", "text")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}
