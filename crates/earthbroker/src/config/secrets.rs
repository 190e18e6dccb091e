//! Which configuration values are secrets, or may be.

use broker_core::{ErrorCode, Kind, Result, SecretSource};
use figment::value::{Dict, Value};
use serde::Deserialize;

use super::Config;
use super::errors::{Mark, unknown_key};

/// The ways to configure a secret. Errors show these forms instead of the value.
pub(super) const FORMS: &str =
    "text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARGUMENT\"] }";

/// Tables whose values are sent to a service or a program. Literal values may be secrets.
pub(super) const SENT: [&str; 6] = ["headers", "json", "form", "query", "params", "settings"];

const SOURCES: [&str; 3] = ["env", "file", "command"];

/// Whether a table says where to read a secret, such as `{ env = "NAME" }`.
pub(super) fn is_source(table: &Dict) -> bool {
    let is_source = |(key, value): (&String, &Value)| match key.as_str() {
        "env" | "file" => value.as_str().is_some(),
        "command" => value.as_dict().is_none(),
        _ => false,
    };
    !table.is_empty() && table.iter().all(is_source)
}

/// Removes secrets from the `lower` layer that the `upper` layer sets again. Otherwise `{ env = … }` and `{ file = … }`
/// would be merged into one table.
pub(super) fn remove_replaced(lower: &mut Dict, upper: &Dict) {
    for (key, above) in upper {
        match (lower.get_mut(key), above) {
            (None, _) => {}
            (Some(Value::Dict(_, below)), Value::Dict(_, above))
                if !(is_source(below) && is_source(above)) =>
            {
                remove_replaced(below, above);
            }
            _ => drop(lower.remove(key)),
        }
    }
}

impl Config {
    /// Returns the path and the value of each configured secret of a provider. Only the key `secrets` has several secrets.
    pub(super) fn secrets<'a>(
        &'a self,
        name: &str,
        kind: &'a Kind,
    ) -> impl Iterator<Item = (Vec<&'a str>, &'a Value)> {
        let table = self.table(name).ok();
        let values = kind.secrets.iter().filter_map(move |key| Some((*key, table?.get(*key)?)));
        values.flat_map(|(key, value)| match value {
            Value::Dict(_, several) if key == "secrets" => {
                several.iter().map(|(inner, value)| (vec![key, inner], value)).collect()
            }
            _ => vec![(vec![key], value)],
        })
    }

    /// Returns the key and the source of each secret of a provider, without reading the secrets.
    pub fn secret_sources(&self, name: &str) -> Result<Vec<(String, SecretSource)>> {
        let source =
            |(path, value): (Vec<&str>, _)| Some((path.join("."), SecretSource::deserialize(value).ok()?));
        Ok(self.secrets(name, self.kind_of(name)?).filter_map(source).collect())
    }

    /// Checks that a table with the source of a secret, such as `{ env = "X" }`, has no unknown key.
    pub(super) fn check_secrets(&self, name: &str, kind: &Kind) -> Result<()> {
        for (path, value) in self.secrets(name, kind) {
            let mut keys = value.as_dict().into_iter().flat_map(Dict::keys);
            let Some(unknown) = keys.find(|key| !SOURCES.contains(&key.as_str())) else { continue };
            let keys = [&["providers", name], &path[..], &[unknown]].concat();
            let why = unknown_key(&format!("`{}`", path.join(".")), unknown, &SOURCES);
            return Err(self.wrong(ErrorCode::ConfigUnknownKey, &keys, Mark::Key, &why));
        }
        Ok(())
    }
}
