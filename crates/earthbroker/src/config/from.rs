//! The key `from = "SOURCE"`: the provider exchanges the token of provider SOURCE for its own token.

use broker_core::{ErrorCode, Result};
use figment::value::Value;

use super::Config;
use super::source_span::Mark;
use crate::suggestion;

impl Config {
    /// Returns the providers that other providers name in `from`.
    pub(super) fn sources(&self) -> Vec<String> {
        let tables = self.providers.values().filter_map(Value::as_dict);
        tables.filter_map(|table| table.get("from")?.as_str()).map(str::to_owned).collect()
    }

    /// Checks that the provider in `from` is configured, and that the `from` keys form no cycle.
    pub(super) fn check_from(&self, name: &str, from: &str) -> Result<()> {
        let wrong = |code, why: &str| self.wrong(code, &["providers", name, "from"], Mark::Value, why);
        let mut chain = vec![name, from];
        loop {
            let last = chain.last().copied().unwrap_or_default();
            if !self.providers.contains_key(last) {
                let names = self.all_names();
                let near = suggestion(last, names.iter().map(String::as_str));
                let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
                let why = format!("no provider `{last}` is configured{near}");
                return Err(wrong(ErrorCode::ConfigInvalidValue, &why));
            }
            let Some(next) = self.table(last)?.get("from").and_then(Value::as_str) else { return Ok(()) };
            let is_circle = chain.contains(&next);
            chain.push(next);
            if is_circle {
                let why = format!("the `from` keys of these providers form a cycle: {}", chain.join(" -> "));
                return Err(wrong(ErrorCode::ConfigInvalid, &why));
            }
        }
    }
}
