//! Displays the merged configuration: values with their origins, secrets redacted.

use broker_core::{Kind, Result, SecretSource, without_query};
use figment::value::{Dict, Value};

use super::secret_tables::{SENT, is_source};
use super::text::Text;
use super::variables::{VariableNames, of_variable};
use super::{COMMON_KEYS, Config};

/// A configured provider.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The text that replaces a value which may be a secret.
const REDACTED: &str = "\"[redacted]\"";

impl Config {
    /// Returns all providers whose configuration was loaded.
    pub fn configured(&self) -> Result<Vec<Configured>> {
        let configured = |name: &String| {
            let kind = self.kind_of(name)?.name.to_owned();
            Ok(Configured { name: name.clone(), kind, origin: self.origin_of(name) })
        };
        self.providers.keys().map(configured).collect()
    }

    /// Returns a provider's values and their origins, with secrets redacted.
    pub fn settings(&self, name: &str) -> Result<Vec<Setting>> {
        let kind = self.kind_of(name)?;
        let setting = |(key, value): (&String, &Value)| Setting {
            key: key.clone(),
            value: display(kind, key, value).0,
            origin: self.origin(&["providers", name, key]),
        };
        Ok(self.table(name)?.iter().map(setting).collect())
    }

    /// Returns the key and the source of each secret of a provider, without reading the secrets.
    pub fn secret_sources(&self, name: &str) -> Result<Vec<(String, SecretSource)>> {
        let (kind, table) = (self.kind_of(name)?, self.table(name)?);
        let source = |key: String, value: &Value| {
            let value = serde_json::to_value(value).ok()?;
            Some((key, serde_json::from_value(value).ok()?))
        };
        let of_key = |key: &&str| match table.get(*key) {
            Some(Value::Dict(_, several)) if !is_source(key, several) => {
                several.iter().filter_map(|(name, value)| source(format!("{key}.{name}"), value)).collect()
            }
            Some(value) => source((*key).to_owned(), value).into_iter().collect(),
            None => Vec::new(),
        };
        Ok(kind.secrets.iter().flat_map(of_key).collect())
    }

    /// Returns the environment variables that are hidden from child processes, because their values may be secrets.
    #[must_use]
    pub fn withheld(&self) -> Vec<String> {
        self.env.withheld()
    }

    /// Returns the environment variables whose values may be secrets of a provider.
    pub(super) fn secret_variables(&self) -> Vec<String> {
        let variables = &self.merged.variables;
        if variables.is_empty() {
            return Vec::new();
        }
        let names = VariableNames::of(self.all_names());
        let is_secret = |(variable, value): &&(String, String)| {
            let values = of_variable(variable, value.clone(), &names);
            let providers = values.as_ref().and_then(|values| values.get("providers")?.as_dict());
            providers.into_iter().flatten().any(|(name, table)| match (self.kind_of(name), table.as_dict()) {
                (Ok(kind), Some(table)) => {
                    table.iter().any(|(key, value)| display(kind, key, value).1 == Redacted::Yes)
                }
                // A variable of a provider of unknown kind may be a secret.
                _ => true,
            })
        };
        variables.iter().filter(is_secret).map(|(variable, _)| variable.clone()).collect()
    }

    /// Returns the file or the environment variable that sets a value, or `built in`.
    pub(super) fn origin(&self, keys: &[&str]) -> String {
        let Some(metadata) = self.merged.metadata(keys) else {
            return "built in".to_owned();
        };
        match metadata.source.as_ref().and_then(|source| source.file_path()) {
            Some(path) => path.display().to_string(),
            None => metadata.name.to_string(),
        }
    }

    /// Whether no file and no environment variable configures a provider.
    #[must_use]
    pub fn is_built_in(&self, name: &str) -> bool {
        !self.merged.in_env.contains_key(name) && self.text_with(name).is_none()
    }

    /// Returns the last file that configures the provider, or else another origin such as `built in`.
    fn origin_of(&self, name: &str) -> String {
        let text = self.text_with(name);
        text.map_or_else(|| self.origin(&["providers", name]), |text| text.path.display().to_string())
    }

    fn text_with(&self, name: &str) -> Option<&Text> {
        self.texts.iter().rev().find(|text| text.names().contains(name))
    }
}

/// Whether a possible secret was removed from a displayed value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Redacted {
    Yes,
    No,
}

/// Returns a value as TOML, without secrets. An unknown key may be a mistyped secret, so its value is redacted.
fn display(kind: &Kind, key: &str, value: &Value) -> (String, Redacted) {
    let is_old_name = || kind.renamed.iter().any(|(old, _)| *old == key);
    let is_known = COMMON_KEYS.contains(&key) || (kind.keys)().contains(&key) || is_old_name();
    let redacted = || (REDACTED.to_owned(), Redacted::Yes);
    match value {
        Value::Dict(_, table) if kind.secrets.contains(&key) && is_source(key, table) => source(table),
        Value::Dict(_, several) if kind.secrets.contains(&key) => {
            let mut hidden = Redacted::No;
            let one = |(name, value): (&String, &Value)| {
                let (text, redacted) = match value {
                    Value::Dict(_, table) if is_source(name, table) => source(table),
                    _ => redacted(),
                };
                if redacted == Redacted::Yes {
                    hidden = Redacted::Yes;
                }
                format!("{name} = {text}")
            };
            let all = several.iter().map(one).collect::<Vec<_>>().join(", ");
            (format!("{{ {all} }}"), hidden)
        }
        _ if is_known && !kind.secrets.contains(&key) => {
            let mut hidden = Redacted::No;
            let value = without_literals(key, value, false, &mut hidden);
            (toml(&value), hidden)
        }
        _ => redacted(),
    }
}

/// Redacts texts that may be secrets. Values for a service or a program keep only placeholders such as `{name}`.
fn without_literals(key: &str, value: &Value, is_sent: bool, hidden: &mut Redacted) -> Value {
    let is_sent = is_sent || SENT.contains(&key);
    match value {
        Value::Dict(tag, table) => {
            let entry = |(key, value): (&String, &Value)| {
                (key.clone(), without_literals(key, value, is_sent, hidden))
            };
            Value::Dict(*tag, table.iter().map(entry).collect())
        }
        Value::Array(_, words) if key == "command" => {
            let more = (words.len() > 1).then(|| Value::from("…"));
            Value::from(words.first().cloned().into_iter().chain(more).collect::<Vec<_>>())
        }
        Value::Array(tag, list) => {
            let entry = |value| without_literals(key, value, is_sent, hidden);
            Value::Array(*tag, list.iter().map(entry).collect())
        }
        Value::String(_, text) if is_placeholder(text) => value.clone(),
        // A string that starts with `{` may be a quoted inline table that contains secrets.
        Value::String(_, text) if is_sent || text.starts_with('{') => redact(hidden),
        Value::String(_, text) if text.contains("://") || key.ends_with("url") || HOSTS.contains(&key) => {
            // A URL with `@` may contain a password.
            if text.contains('@') { redact(hidden) } else { Value::from(without_query(text)) }
        }
        Value::Num(..) if is_sent => redact(hidden),
        other => other.clone(),
    }
}

fn redact(hidden: &mut Redacted) -> Value {
    *hidden = Redacted::Yes;
    Value::from(REDACTED.trim_matches('"'))
}

fn is_placeholder(text: &str) -> bool {
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| !name.contains(['{', '}', '"']))
}

fn toml(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| "?".to_owned(), |value| value.to_string())
}

/// Returns the source of a secret for display. A command's arguments may be secrets, so they are not shown.
fn source(table: &Dict) -> (String, Redacted) {
    match table.first_key_value() {
        Some((source, Value::Array(_, words))) if source == "command" => {
            let program = words.first().map(toml).unwrap_or_default();
            let more = if words.len() > 1 { ", …" } else { "" };
            (format!("{{ command = [{program}{more}] }}"), Redacted::No)
        }
        Some((source, name)) if source != "command" => {
            (format!("{{ {source} = {} }}", toml(name)), Redacted::No)
        }
        _ => (REDACTED.to_owned(), Redacted::Yes),
    }
}
