//! Which secrets a provider's table names.

use broker_core::{Result, SecretSource};

use super::Config;

impl Config {
    /// The secrets that a provider's table names, by their keys, and where each comes from. None is read.
    pub fn secret_sources(&self, name: &str) -> Result<Vec<(String, SecretSource)>> {
        let (kind, table) = (self.kind_of(name)?, self.table(name)?);
        let source = |key: &&str| {
            let value = serde_json::to_value(table.get(*key)?).ok()?;
            Some(((*key).to_owned(), serde_json::from_value(value).ok()?))
        };
        Ok(kind.secrets.iter().filter_map(source).collect())
    }
}
