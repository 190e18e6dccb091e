//! Which tables of a provider are secrets, or may contain them.

use figment::value::{Dict, Value};

/// Tables whose values are sent to a service or a program. Literal values may be secrets.
pub(super) const SENT: [&str; 6] = ["headers", "json", "form", "query", "params", "settings"];

/// Removes secrets from the `lower` layer that the `upper` layer replaces.
pub(super) fn remove_replaced(lower: &mut Dict, upper: &Dict) {
    for (key, above) in upper {
        match (lower.get_mut(key), above) {
            (None, _) => {}
            (Some(Value::Dict(_, below)), Value::Dict(_, above))
                if !(is_secret_table(below) && is_secret_table(above)) =>
            {
                remove_replaced(below, above);
            }
            _ => drop(lower.remove(key)),
        }
    }
}

/// Whether a table says where to read a secret, such as `{ env = "NAME" }`.
fn is_secret_table(table: &Dict) -> bool {
    let is_source = |(key, value): (&String, &Value)| match key.as_str() {
        "env" | "file" => value.as_str().is_some(),
        "command" => value.as_dict().is_none(),
        _ => false,
    };
    !table.is_empty() && table.iter().all(is_source)
}

/// Whether the table of the setting `key` says where to read one secret. `secrets` does not: it has many secrets.
pub(super) fn is_source(key: &str, table: &Dict) -> bool {
    key != "secrets" && table.len() == 1 && is_secret_table(table)
}
