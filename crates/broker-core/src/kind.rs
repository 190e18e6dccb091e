//! Kinds of providers: each builds a [`Provider`] from a table of the configuration.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::settings_error::SettingsValue;
use crate::{Env, Provider, ServiceUrl, SettingsError};

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
    /// Keys that have a new name, as `(old, new)`. The old name is still read.
    pub renamed: &'static [(&'static str, &'static str)],
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
        serde_path_to_error::deserialize(SettingsValue(&self.table)).map_err(|error| {
            let path = error.path().to_string();
            error.into_inner().within(&path)
        })
    }

    /// Returns the configured URL, or the default of the kind.
    pub fn url_or(configured: Option<ServiceUrl>, key: &str, own: &str) -> Result<ServiceUrl, SettingsError> {
        configured.map_or_else(|| ServiceUrl::parse(own).map_err(|why| SettingsError::new(key, why)), Ok)
    }

    /// The environment, where some services' own tools have settings.
    #[must_use]
    pub fn env(&self) -> &'a dyn Env {
        self.env
    }
}
