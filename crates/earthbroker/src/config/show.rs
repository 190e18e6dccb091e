//! Displays the merged configuration: values with their origins, secrets redacted.

use broker_core::{Kind, Result, without_query};
use figment::value::Value;

use super::environment::EnvKey;
use super::file::{ConfigFile, tables};
use super::layers::{BUILT_IN, origin_of};
use super::secrets::{SENT, is_source};
use super::{COMMON_KEYS, Config};

/// A configured provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Configured {
    /// The provider's name.
    pub name: String,
    /// The provider's kind, such as `earthdaily`.
    pub kind: String,
    /// Where the provider is configured: `built in`, a file, an environment variable.
    pub origin: String,
}

/// A configured value, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The name of the configuration key.
    pub key: String,
    /// The value as TOML; a literal secret is `"[redacted]"`.
    pub value: String,
    /// The file or the environment variable that sets the value.
    pub origin: String,
}

/// Keys of hosts and URLs, beside `…url`.
const HOSTS: [&str; 4] = ["hosts", "issuer", "domain", "registry"];

/// The text that replaces a value which may be a secret. An environment variable with such a value is withheld.
const REDACTED: &str = "\"[redacted]\"";

impl Config {
    /// Returns all providers whose configuration was loaded.
    pub fn configured(&self) -> Result<Vec<Configured>> {
        let configured = |(name, _): (&String, _)| {
            let kind = self.kind_of(name)?.name.to_owned();
            Ok(Configured { name: name.clone(), kind, origin: self.last_origin(name) })
        };
        tables(&self.merged.values).map(configured).collect()
    }

    /// Returns a provider's values and their origins, with secrets redacted.
    pub fn settings(&self, name: &str) -> Result<Vec<Setting>> {
        let kind = self.kind_of(name)?;
        let setting = |(key, value): (&String, &Value)| Setting {
            key: key.clone(),
            value: display(kind, key, value),
            origin: self.origin(&["providers", name, key]),
        };
        Ok(self.table(name)?.iter().map(setting).collect())
    }

    /// Returns the environment variables that are hidden from child processes, because their values may be secrets.
    pub fn withheld(&self) -> Vec<String> {
        self.env.withheld()
    }

    /// Returns the environment variables whose values may be secrets of a provider.
    pub(super) fn secret_variables(&self) -> Vec<String> {
        let mut variables = Vec::new();
        for (name, keys) in &self.variables.keys {
            let kind = self.kind_of(name);
            let is_secret = |key: &&EnvKey| match (&kind, key.table.as_dict()) {
                (Ok(kind), Some(table)) => {
                    table.iter().any(|(key, value)| display(kind, key, value).contains(REDACTED))
                }
                // A variable of a provider of unknown kind may be a secret.
                _ => true,
            };
            variables.extend(keys.iter().filter(is_secret).map(|key| key.variable.clone()));
        }
        variables
    }

    /// Returns the file or the environment variable that sets a value, or `built in`.
    pub(super) fn origin(&self, keys: &[&str]) -> String {
        self.merged.metadata(keys).map_or_else(|| BUILT_IN.to_owned(), origin_of)
    }

    /// Whether no file and no environment variable configures a provider.
    pub fn is_built_in(&self, name: &str) -> bool {
        !self.variables.keys.contains_key(name) && self.file_of(name).is_none()
    }

    /// Returns the last file that configures the provider, or else another origin such as `built in`.
    fn last_origin(&self, name: &str) -> String {
        self.file_of(name).map_or_else(|| self.origin(&["providers", name]), ConfigFile::origin)
    }

    fn file_of(&self, name: &str) -> Option<&ConfigFile> {
        self.files.iter().rev().find(|file| file.path.is_some() && file.names().contains(name))
    }
}

/// Returns a value as TOML, without secrets. An unknown key may be a mistyped secret, so its value is redacted.
fn display(kind: &Kind, key: &str, value: &Value) -> String {
    let is_old_name = || kind.renamed.iter().any(|(old, _)| *old == key);
    match value {
        Value::Dict(_, several) if key == "secrets" && kind.secrets.contains(&key) => {
            let all: Vec<_> =
                several.iter().map(|(name, value)| format!("{name} = {}", display_secret(value))).collect();
            format!("{{ {} }}", all.join(", "))
        }
        _ if kind.secrets.contains(&key) => display_secret(value),
        _ if COMMON_KEYS.contains(&key) || (kind.keys)().contains(&key) || is_old_name() => {
            toml(&without_literals(key, value, false))
        }
        _ => REDACTED.to_owned(),
    }
}

/// Returns the source of a secret as TOML. A command's arguments may be secrets, so they are not shown.
pub(super) fn display_secret(value: &Value) -> String {
    let table = value.as_dict().filter(|table| table.len() == 1 && is_source(table));
    match table.and_then(|table| table.first_key_value()) {
        Some((source, Value::Array(_, words))) if source == "command" => {
            let program = words.first().map(toml).unwrap_or_default();
            let more = if words.len() > 1 { ", …" } else { "" };
            format!("{{ command = [{program}{more}] }}")
        }
        Some((source, name)) if source != "command" => format!("{{ {source} = {} }}", toml(name)),
        _ => REDACTED.to_owned(),
    }
}

/// Redacts texts that may be secrets. Values for a service or a program keep only placeholders such as `{name}`.
fn without_literals(key: &str, value: &Value, is_sent: bool) -> Value {
    let is_sent = is_sent || SENT.contains(&key);
    let redacted = || Value::from(REDACTED.trim_matches('"'));
    match value {
        Value::Dict(tag, table) => {
            let entry =
                |(key, value): (&String, &Value)| (key.clone(), without_literals(key, value, is_sent));
            Value::Dict(*tag, table.iter().map(entry).collect())
        }
        Value::Array(_, words) if key == "command" => {
            let more = (words.len() > 1).then(|| Value::from("…"));
            Value::from(words.first().cloned().into_iter().chain(more).collect::<Vec<_>>())
        }
        Value::Array(tag, list) => {
            Value::Array(*tag, list.iter().map(|value| without_literals(key, value, is_sent)).collect())
        }
        Value::String(_, text) if is_placeholder(text) => value.clone(),
        // A string that starts with `{` may be a quoted inline table that contains secrets.
        Value::String(_, text) if is_sent || text.starts_with('{') => redacted(),
        Value::String(_, text) if text.contains("://") || key.ends_with("url") || HOSTS.contains(&key) => {
            // A URL with `@` may contain a password.
            if text.contains('@') { redacted() } else { Value::from(without_query(text)) }
        }
        Value::Num(..) if is_sent => redacted(),
        other => other.clone(),
    }
}

fn is_placeholder(text: &str) -> bool {
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| !name.contains(['{', '}', '"']))
}

fn toml(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| "?".to_owned(), |value| value.to_string())
}
