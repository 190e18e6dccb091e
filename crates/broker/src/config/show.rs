//! What the configuration comes to, for people to read: values and their origins, secrets unseen.

use std::path::Path;

use broker_core::{Kind, Result, platform};
use figment::value::Value;

use super::Config;

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

    /// What is not wrong, but not well: secrets in files that others can read.
    #[must_use]
    pub fn warnings(&self, name: &str) -> Vec<String> {
        let secrets = self.kind_of(name).map(|kind| kind.secrets).unwrap_or_default();
        let table = self.providers.get(name).and_then(Value::as_dict);
        let literal =
            |key: &&&str| matches!(table.and_then(|table| table.get(**key)), Some(Value::String(..)));
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

/// A value as TOML. What a key that is not known holds may be a mistyped secret; of a command's arguments, any may.
fn shown(kind: &Kind, key: &str, value: &Value) -> String {
    let toml = |value: &Value| {
        toml::Value::try_from(value).map_or_else(|_| "?".to_owned(), |value| value.to_string())
    };
    let known = super::COMMON_KEYS.contains(&key) || kind.keys.contains(&key);
    match value {
        Value::Dict(_, table) if kind.secrets.contains(&key) => match table.first_key_value() {
            Some((source, name)) if table.len() == 1 && matches!(source.as_str(), "env" | "file") => {
                format!("{{ {source} = {} }}", toml(name))
            }
            Some((source, Value::Array(_, words))) if table.len() == 1 && source == "command" => {
                let program = words.first().map(toml).unwrap_or_default();
                format!("{{ command = [{program}{}] }}", if words.len() > 1 { ", …" } else { "" })
            }
            _ => REDACTED.to_owned(),
        },
        // A URL may have a password in it.
        Value::String(_, text) if text.contains("://") && text.contains('@') => REDACTED.to_owned(),
        _ if known && !kind.secrets.contains(&key) => toml(value),
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
