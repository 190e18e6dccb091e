//! The sources of the secrets in a provider's table.

use broker_core::{Result, SecretSource};

use figment::value::{Dict, Value};

use super::Config;
use super::layers::is_secret_table;

impl Config {
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
}

/// Whether the table is the source of one secret. The table `secrets` contains several sources.
pub(super) fn is_source(key: &str, table: &Dict) -> bool {
    key != "secrets" && table.len() == 1 && is_secret_table(table)
}
