//! A kind of provider: how a table of configuration becomes a [`Provider`].

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Env, Provider, ServiceUrl};

/// An implementation of [`Provider`] that a configuration can name.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in `kind = "…"`.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The keys it understands, besides those that every provider has.
    pub keys: &'static [&'static str],
    /// Those of its keys whose values are secrets.
    pub secrets: &'static [&'static str],
    /// The environment variable that programs usually look for its token in.
    pub token_variable: &'static str,
    /// Builds a provider from its settings.
    pub build: fn(&Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kind({})", self.name)
    }
}

/// What a provider is built from: its table of the configuration, and the environment.
pub struct Settings<'a> {
    name: &'a str,
    table: Value,
    env: &'a dyn Env,
}

impl<'a> Settings<'a> {
    /// Settings of a provider of this name, from its table without the keys that every provider has.
    #[must_use]
    pub fn new(name: &'a str, table: Value, env: &'a dyn Env) -> Self {
        Self { name, table, env }
    }

    /// The provider's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The table as a type of the provider's own.
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

    /// A configured URL, or the kind's own.
    pub fn url_or(configured: Option<ServiceUrl>, key: &str, own: &str) -> Result<ServiceUrl, SettingsError> {
        let wrong = |message| SettingsError { key: key.to_owned(), message };
        configured.map_or_else(|| ServiceUrl::parse(own).map_err(wrong), Ok)
    }

    /// The environment: some services' own tools keep settings there.
    #[must_use]
    pub fn env(&self) -> &'a dyn Env {
        self.env
    }
}

/// A setting that does not fit.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct SettingsError {
    /// The key, dotted where it is nested; `.` for the table as a whole, empty where what is wrong is elsewhere.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub message: String,
}

impl SettingsError {
    /// What is wrong at a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }
}
