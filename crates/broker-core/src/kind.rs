//! Kinds of providers: each builds a [`Provider`] from a table of the configuration.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Env, Provider, ServiceUrl};

/// A kind of provider that a configuration can name.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The name in `kind = "…"`.
    pub name: &'static str,
    /// A short description.
    pub about: &'static str,
    /// Its configuration keys, without those of every provider.
    pub keys: &'static [&'static str],
    /// The keys whose values are secrets.
    pub secrets: &'static [&'static str],
    /// The environment variable in which programs usually expect its token.
    pub token_variable: &'static str,
    /// Builds a provider from its settings.
    pub build: fn(&Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kind({})", self.name)
    }
}

/// The settings of one provider: its table of the configuration, and the environment.
pub struct Settings<'a> {
    name: &'a str,
    table: Value,
    env: &'a dyn Env,
}

impl<'a> Settings<'a> {
    /// Creates settings from the provider's table without the keys of every provider.
    #[must_use]
    pub fn new(name: &'a str, table: Value, env: &'a dyn Env) -> Self {
        Self { name, table, env }
    }

    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Parses the table.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_path_to_error::deserialize(&self.table).map_err(|error| {
            let (path, message) = (error.path().to_string(), error.inner().to_string());
            let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
            match missing {
                Some(field) if path == "." => SettingsError::new(field, "it is missing"),
                Some(field) => SettingsError::new(format!("{path}.{field}"), "it is missing"),
                None => SettingsError { key: path, message },
            }
        })
    }

    /// Returns the configured URL, or the default of the kind.
    pub fn url_or(
        configured: Option<ServiceUrl>,
        key: &str,
        default: &str,
    ) -> Result<ServiceUrl, SettingsError> {
        let wrong = |message| SettingsError { key: key.to_owned(), message };
        configured.map_or_else(|| ServiceUrl::parse(default).map_err(wrong), Ok)
    }

    /// The environment, where some services' own tools have settings.
    #[must_use]
    pub fn env(&self) -> &'a dyn Env {
        self.env
    }
}

/// An invalid setting.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    /// The key, with dots if it is nested; `.` for the whole table, empty if the problem is not in the table.
    pub key: String,
    /// What is wrong, and what is expected.
    pub message: String,
}

impl SettingsError {
    /// Creates an error for a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}
