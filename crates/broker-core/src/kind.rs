//! A kind of provider: how a table of configuration becomes a [`Provider`].

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::settings_error::SettingsValue;
use crate::{Env, Provider, ServiceUrl, SettingsError};

/// An implementation of [`Provider`] that a configuration can name.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name in `kind = "…"`.
    pub name: &'static str,
    /// A description in a few words.
    pub about: &'static str,
    /// The keys it understands, besides those that every provider has.
    pub keys: &'static [&'static str],
    /// Those of its keys whose values are secrets.
    pub secrets: &'static [&'static str],
    /// Keys that have a new name, as `(old, new)`. The old name is still read.
    pub renamed: &'static [(&'static str, &'static str)],
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

    /// Reads the table as a type of the provider.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_path_to_error::deserialize(SettingsValue(&self.table)).map_err(|error| {
            let path = error.path().to_string();
            error.into_inner().within(&path)
        })
    }

    /// A configured URL, or the kind's own.
    pub fn url_or(configured: Option<ServiceUrl>, key: &str, own: &str) -> Result<ServiceUrl, SettingsError> {
        configured.map_or_else(|| ServiceUrl::parse(own).map_err(|why| SettingsError::new(key, why)), Ok)
    }

    /// The environment: some services' own tools keep settings there.
    #[must_use]
    pub fn env(&self) -> &'a dyn Env {
        self.env
    }
}
