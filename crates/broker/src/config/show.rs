//! What the configuration comes to, for people to read: values and their origins, secrets unseen.

use std::path::Path;

use broker_core::{Kind, Result, platform};
use figment::value::{Dict, Value};

use super::Config;
use super::layers::of_variable;
use super::secrets::is_source;

/// A configured provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Where it is configured: `built in`, a file, an environment variable.
    pub origin: String,
}

/// A value of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key.
    pub key: String,
    /// The value as TOML; a literal secret is `"[redacted]"`.
    pub value: String,
    /// Where it is from.
    pub origin: String,
}

/// Tables of what is sent as it stands there.
pub(super) const SENT: [&str; 6] = ["headers", "json", "form", "query", "params", "settings"];

/// What stands for a value that may be a secret.
const REDACTED: &str = "\"[redacted]\"";

impl Config {
    /// The providers.
    pub fn configured(&self) -> Result<Vec<Configured>> {
        let configured = |name: &String| {
            let kind = self.kind_of(name)?.name.to_owned();
            Ok(Configured { name: name.clone(), kind, origin: self.origin_of(name) })
        };
        self.providers.keys().map(configured).collect()
    }

    /// The values of a provider.
    pub fn settings(&self, name: &str) -> Result<Vec<Setting>> {
        let kind = self.kind_of(name)?;
        let setting = |(key, value): (&String, &Value)| Setting {
            key: key.clone(),
            value: shown(kind, key, value),
            origin: self.origin(&["providers", name, key]),
        };
        Ok(self.table(name)?.iter().map(setting).collect())
    }

    /// The environment variables that no child of the broker gets: those of its own keys whose value may be a secret,
    /// which is what [`Config::settings`] does not show.
    #[must_use]
    pub fn withheld(&self) -> Vec<String> {
        self.env.withheld()
    }

    /// Finds them.
    pub(super) fn secret_variables(&self, variables: Vec<(String, String)>) -> Vec<String> {
        if variables.is_empty() {
            return Vec::new();
        }
        let names = self.all_names();
        let is_secret = |(variable, value): &(String, String)| {
            let values = of_variable(variable, value.clone(), &names);
            let providers = values.as_ref().and_then(|values| values.get("providers")?.as_dict());
            providers.into_iter().flatten().any(|(name, table)| match (self.kind_of(name), table.as_dict()) {
                (Ok(kind), Some(table)) => {
                    table.iter().any(|(key, value)| shown(kind, key, value).contains("[redacted]"))
                }
                // Who knows what that is.
                _ => true,
            })
        };
        variables.into_iter().filter(is_secret).map(|(variable, _)| variable).collect()
    }

    /// What is not wrong, but not well: secrets in files that others can read.
    #[must_use]
    pub fn warnings(&self, name: &str) -> Vec<String> {
        let secrets = self.kind_of(name).map(|kind| kind.secrets).unwrap_or_default();
        let table = self.providers.get(name).and_then(Value::as_dict);
        let literal = |key: &&&str| match table.and_then(|table| table.get(**key)) {
            Some(Value::String(..)) => true,
            Some(Value::Dict(_, several)) if !is_source(key, several) => {
                several.values().any(|value| matches!(value, Value::String(..)))
            }
            _ => false,
        };
        let warning = |key: &&str| {
            let metadata = self.figment.find_metadata(&format!("providers.{name}.{key}"))?;
            let file = metadata.source.as_ref()?.file_path().filter(|file| others_can_read(file))?;
            Some(format!(
                "{} holds the secret `{key}` of {name}, and others can read it: chmod 600, or use \
                 {{ env }}, {{ file }} or {{ command }}",
                file.display()
            ))
        };
        secrets.iter().filter(literal).filter_map(warning).collect()
    }

    /// Where a value is from.
    pub(super) fn origin(&self, keys: &[&str]) -> String {
        let Some(metadata) = self.figment.find_metadata(&keys.join(".")) else {
            return "built in".to_owned();
        };
        match metadata.source.as_ref().and_then(|source| source.file_path()) {
            Some(path) => path.display().to_string(),
            None => metadata.name.to_string(),
        }
    }

    /// Where a provider is configured: in the last file that has its table.
    fn origin_of(&self, name: &str) -> String {
        let in_file = self.texts.iter().rev().find(|text| has_table(&text.text, name));
        in_file.map_or_else(|| self.origin(&["providers", name]), |text| text.path.display().to_string())
    }
}

/// A value without texts that may be secrets: of what is sent to a service, or to a program, only placeholders stand.
fn without_literals(key: &str, value: &Value, is_sent: bool) -> Value {
    let is_sent = is_sent || SENT.contains(&key);
    let redacted = || Value::from(REDACTED.trim_matches('"'));
    match value {
        Value::Dict(tag, table) => {
            let shown =
                |(key, value): (&String, &Value)| (key.clone(), without_literals(key, value, is_sent));
            Value::Dict(*tag, table.iter().map(shown).collect())
        }
        Value::Array(_, words) if key == "command" => {
            let more = (words.len() > 1).then(|| Value::from("…"));
            Value::from(words.first().cloned().into_iter().chain(more).collect::<Vec<_>>())
        }
        Value::Array(tag, list) => {
            Value::Array(*tag, list.iter().map(|value| without_literals("", value, is_sent)).collect())
        }
        Value::String(_, text) if is_placeholder(text) => value.clone(),
        // As one text a table may hold anything.
        Value::String(_, text) if is_sent || text.starts_with('{') => redacted(),
        Value::String(_, text) => match text.split_once('?') {
            Some((url, _)) if url.contains("://") => Value::from(format!("{url}?…")),
            _ => value.clone(),
        },
        Value::Num(..) if is_sent => redacted(),
        other => other.clone(),
    }
}

/// `{name}` alone.
fn is_placeholder(text: &str) -> bool {
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    name.is_some_and(|name| !name.contains(['{', '}', '"']))
}

fn toml(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| "?".to_owned(), |value| value.to_string())
}

/// Where a secret comes from; of a command's arguments any may be secret.
fn source(table: &Dict) -> String {
    match table.first_key_value() {
        Some((source, Value::Array(_, words))) if source == "command" => {
            let program = words.first().map(toml).unwrap_or_default();
            format!("{{ command = [{program}{}] }}", if words.len() > 1 { ", …" } else { "" })
        }
        Some((source, name)) if source != "command" => format!("{{ {source} = {} }}", toml(name)),
        _ => REDACTED.to_owned(),
    }
}

/// A value as TOML. What a key that is not known holds may be a mistyped secret.
fn shown(kind: &Kind, key: &str, value: &Value) -> String {
    let known = super::COMMON_KEYS.contains(&key) || kind.keys.contains(&key);
    match value {
        Value::Dict(_, table) if kind.secrets.contains(&key) && is_source(key, table) => source(table),
        Value::Dict(_, several) if kind.secrets.contains(&key) => {
            let one = |(name, value): (&String, &Value)| match value {
                Value::Dict(_, table) if is_source(name, table) => format!("{name} = {}", source(table)),
                _ => format!("{name} = {REDACTED}"),
            };
            format!("{{ {} }}", several.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        // A URL may have a password in it.
        Value::String(_, text) if text.contains("://") && text.contains('@') => REDACTED.to_owned(),
        _ if known && !kind.secrets.contains(&key) => toml(&without_literals(key, value, false)),
        _ => REDACTED.to_owned(),
    }
}

fn has_table(text: &str, name: &str) -> bool {
    let table: Option<toml::Table> = toml::from_str(text).ok();
    table.is_some_and(|table| table.get("providers").and_then(|providers| providers.get(name)).is_some())
}

fn others_can_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| platform::others_read(&meta))
}
