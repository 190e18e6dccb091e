//! Environment variables that set keys of providers.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::{Dict, Value};

use super::secret_tables::SENT;

/// Environment variables with this prefix set keys of providers: `BROKER_PROVIDERS__NAME__KEY`.
pub(super) const PREFIX: &str = "BROKER_PROVIDERS__";

/// The tables of the requests of a provider.
pub(super) const REQUESTS: [&str; 4] = ["login", "refresh", "revoke", "mint"];

/// A configuration key that an environment variable sets.
pub(super) struct EnvKey {
    /// The names of the nested keys; empty if the variable sets the whole provider.
    pub(super) path: Vec<String>,
    pub(super) variable: String,
    pub(super) value: String,
}

impl EnvKey {
    /// Returns the provider and the key that a variable sets. `values` is the variable's value as a table.
    pub(super) fn read(variable: &str, value: &str, values: &Dict) -> Option<(String, Self)> {
        let (name, mut nested) = values.get("providers")?.as_dict()?.first_key_value()?;
        let mut path = Vec::new();
        // JSON may set several keys of a table.
        while let Some((key, inner)) =
            nested.as_dict().filter(|table| table.len() == 1).and_then(|table| table.first_key_value())
        {
            path.push(key.clone());
            nested = inner;
        }
        Some((name.clone(), Self { path, variable: variable.to_owned(), value: value.to_owned() }))
    }

    /// Whether the key decides which service or program gets secrets, logins or tokens.
    pub(super) fn is_target(&self) -> bool {
        let path: Vec<_> = self.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["hosts" | "command" | "settings" | "from" | "domain" | "issuer" | "registry" | "url", ..] => {
                true
            }
            [key] => key.ends_with("_url") || REQUESTS.contains(key),
            [table, "url", ..] => !SENT.contains(table) && *table != "fields" && *table != "secrets",
            _ => false,
        }
    }
}

/// The maximum number of nested keys in the name of an environment variable. The rest of a longer name becomes one
/// key, which is reported as unknown.
const MAX_DEPTH: usize = 16;

/// The names of configured providers as environment variables spell them: in any case, and with `_` for `-`, which
/// variable names cannot contain.
pub(super) struct VariableNames(BTreeMap<String, String>);

impl VariableNames {
    pub(super) fn of(names: BTreeSet<String>) -> Self {
        // The first of several names that differ only in this way wins.
        Self(names.into_iter().rev().map(|name| (Self::spelled(&name), name)).collect())
    }

    fn spelled(name: &str) -> String {
        name.to_lowercase().replace('-', "_")
    }
}

/// Reads `BROKER_PROVIDERS__NAME__KEY=VALUE` as a table. A number stays text, because it may be a password.
pub(super) fn of_variable(variable: &str, value: String, names: &VariableNames) -> Option<Dict> {
    let rest = variable.strip_prefix(PREFIX)?;
    let (name, keys) = rest.split_once("__").map_or((rest, None), |(name, keys)| (name, Some(keys)));
    let name = Some(name).filter(|name| !name.is_empty())?.to_lowercase();
    let known = names.0.get(&VariableNames::spelled(&name));
    let keys: Vec<_> = keys.into_iter().flat_map(|keys| keys.splitn(MAX_DEPTH, "__")).collect();
    let within = |value, key: &&str| Value::from(Dict::from([(key.to_lowercase(), value)]));
    let value = json_table(&keys, &value).unwrap_or_else(|| Value::from(value));
    let nested = keys.iter().rev().fold(value, within);
    let table = Dict::from([(known.cloned().unwrap_or(name), nested)]);
    Some(Dict::from([("providers".to_owned(), Value::from(table))]))
}

/// Reads the tables of requests from JSON. Kinds read other tables from text; a secret that looks like JSON stays text.
fn json_table(keys: &[&str], value: &str) -> Option<Value> {
    let [key] = keys else { return None };
    REQUESTS.iter().find(|request| key.eq_ignore_ascii_case(request))?;
    Value::serialize(serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(value).ok()?).ok()
}
