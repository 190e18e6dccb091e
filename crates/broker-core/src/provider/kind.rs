//! Kinds of providers. Each kind builds a [`Provider`] from a configuration table.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

use crate::context::{Env, ServiceUrl};
use crate::provider::settings_error::SettingsValue;
use crate::provider::tools::ServiceTools;
use crate::provider::{Provider, SettingsError, SettingsProblem};
use crate::token::{Secret, fingerprint};

/// A kind of provider, which configuration tables select with `kind = "…"`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Kind {
    /// The kind's name in `kind = "…"`.
    pub name: &'static str,
    /// Returns the configuration keys of providers of this kind, except the keys of every provider, such as `timeout`.
    pub keys: fn() -> &'static [&'static str],
    /// The configuration keys whose values are secrets.
    pub secrets: &'static [&'static str],
    /// Renamed configuration keys as `(old, new)`. The old name is still accepted.
    pub renamed: &'static [(&'static str, &'static str)],
    /// The service's own tools, with which the broker shares logins and variables.
    pub tools: Option<&'static dyn ServiceTools>,
    /// Builds a provider from its configuration table.
    pub build: fn(&Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError>,
}

impl Kind {
    /// Creates a kind whose configuration keys are the fields of the struct `Config`.
    #[must_use]
    pub const fn new<Config: DeserializeOwned>(
        name: &'static str,
        build: fn(&Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError>,
    ) -> Self {
        Self { name, keys: field_names::<Config>, secrets: &[], renamed: &[], tools: None, build }
    }

    /// Sets the configuration keys whose values are secrets.
    #[must_use]
    pub const fn secrets(mut self, keys: &'static [&'static str]) -> Self {
        self.secrets = keys;
        self
    }

    /// Sets the renamed configuration keys as `(old, new)`.
    #[must_use]
    pub const fn renamed(mut self, keys: &'static [(&'static str, &'static str)]) -> Self {
        self.renamed = keys;
        self
    }

    /// Sets the service's own tools.
    #[must_use]
    pub const fn tools(mut self, tools: &'static dyn ServiceTools) -> Self {
        self.tools = Some(tools);
        self
    }
}

/// A provider's configuration table, and the environment.
pub struct Settings<'a> {
    name: &'a str,
    table: Value,
    env: &'a dyn Env,
    targets: Vec<EnvTarget>,
}

impl<'a> Settings<'a> {
    /// Creates settings from a provider's configuration table. `table` excludes the keys that all providers have, such
    /// as `timeout`.
    #[must_use]
    pub fn new(name: &'a str, table: Value, env: &'a dyn Env) -> Self {
        Self { name, table, env, targets: Vec::new() }
    }

    /// Sets the URLs, hosts and programs that environment variables set.
    #[must_use]
    pub fn with_targets(mut self, targets: Vec<EnvTarget>) -> Self {
        self.targets = targets;
        self
    }

    /// Whether an environment variable sets this key, which is a URL, the hosts or a program.
    pub fn is_from_environment(&self, key: &str) -> bool {
        self.targets.iter().any(|target| target.key == key)
    }

    /// Whether an environment variable sets a URL, the hosts or a program of the provider.
    pub fn has_targets(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Returns the value of [`crate::record::Issuer::environment`], which binds stored logins and tokens to these targets.
    pub fn bound(&self) -> Option<BTreeSet<String>> {
        Some(self.targets.iter().map(|target| target.mark.clone()).collect())
    }

    /// Fails if an environment variable sets a URL, hosts or a program, because these must not get the secret in
    /// `origin`, a file.
    pub fn check_secret_in(&self, origin: &str) -> Result<(), SettingsError> {
        match self.targets.first() {
            Some(target) => Err(target.mixed_with("the secret", origin, "")),
            None => Ok(()),
        }
    }

    /// Returns the provider's name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Deserializes the configuration table.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_path_to_error::deserialize(SettingsValue(&self.table)).map_err(|error| {
            let path = error.path().to_string();
            error.into_inner().within(&path)
        })
    }

    /// Returns the configured URL, or `own`, the default URL of this kind of provider. `key` is named in errors.
    pub fn url_or(configured: Option<ServiceUrl>, key: &str, own: &str) -> Result<ServiceUrl, SettingsError> {
        configured.map_or_else(|| ServiceUrl::parse(own).map_err(|why| SettingsError::new(key, why)), Ok)
    }

    /// Returns the environment. Some providers read settings of the service's own tools from it.
    pub fn env(&self) -> &'a dyn Env {
        self.env
    }
}

/// A URL, the hosts or a program that an environment variable sets. Whoever sets one variable must not get a secret of
/// a file, a stored login or a stored token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EnvTarget {
    /// The key, with dots between nested names.
    pub key: String,
    /// The environment variable.
    pub variable: String,
    /// A fingerprint of key and value. The value may contain a secret.
    pub(crate) mark: String,
}

impl EnvTarget {
    /// Creates a target from the key, the variable and the variable's value.
    #[must_use]
    pub fn new(key: String, variable: String, value: &str) -> Self {
        let mark = fingerprint(&key, &Secret::new(value), 64);
        Self { key, variable, mark }
    }

    /// Returns the error for `secret` (such as a key) from `origin`, which the target must not get. `variable` is the
    /// environment variable that could set this secret too; empty if there is none.
    pub fn mixed_with(&self, secret: &str, origin: &str, variable: &str) -> SettingsError {
        let Self { key, variable: own, .. } = self;
        let message = format!(
            "{own} (environment) sets `{key}`, but {secret} is from {origin}: a URL, hosts or program of the environment \
             gets no secret from another source"
        );
        let file = format!("set `{key}` in the configuration file, and unset {own}");
        let hint = if variable.is_empty() { file } else { format!("{file}; or set {variable} too") };
        SettingsError { problem: SettingsProblem::MixedSources(hint), ..SettingsError::new(key, message) }
    }
}

/// Returns the names of the fields of a struct that derives [`Deserialize`]; none for another type.
fn field_names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names = FieldNames(&[]);
    // Always fails, because the value is missing.
    drop(T::deserialize(&mut names));
    names.0
}

struct FieldNames(&'static [&'static str]);

impl<'de> Deserializer<'de> for &mut FieldNames {
    type Error = de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only the names of the fields are read"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
