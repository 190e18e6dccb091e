//! Providers that take another provider's tokens: the key `from`.

use broker_core::Result;
use figment::value::Value;

use super::Config;
use super::source_span::Mark;
use crate::suggestion;

impl Config {
    /// The providers that others take tokens from.
    pub(super) fn sources(&self) -> Vec<String> {
        let tables = self.providers.values().filter_map(Value::as_dict);
        tables.filter_map(|table| table.get("from")?.as_str()).map(str::to_owned).collect()
    }

    /// Whether the provider that `name` derives from is there, and does not derive from it in turn.
    pub(super) fn check_from(&self, name: &str, from: &str) -> Result<()> {
        let at = ["providers", name, "from"];
        let mut chain = vec![name, from];
        loop {
            let last = chain.last().copied().unwrap_or_default();
            if !self.providers.contains_key(last) {
                let names = self.all_names();
                let meant = suggestion(last, names.iter().map(String::as_str));
                let meant = meant.map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default();
                return Err(self.wrong(&at, Mark::Value, &format!("there is no provider `{last}`{meant}")));
            }
            let Some(next) = self.table(last)?.get("from").and_then(Value::as_str) else { return Ok(()) };
            let is_circle = chain.contains(&next);
            chain.push(next);
            if is_circle {
                let chain = chain.join(" -> ");
                return Err(self.wrong(
                    &at,
                    Mark::Value,
                    &format!("providers need each other's tokens: {chain}"),
                ));
            }
        }
    }
}
