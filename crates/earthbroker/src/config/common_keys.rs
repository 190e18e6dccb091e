//! The configuration keys of every provider: `timeout`, `env`, `hosts`, `header`, `prefix`. And `from = "SOURCE"`: the
//! provider exchanges the token of provider SOURCE for its own token.

use broker_core::{Entry, ErrorCode, Header, Kind, Result};
use figment::value::Value;

use super::Config;
use super::errors::{Mark, did_you_mean, unknown_key};
use super::file::tables;

pub(super) const COMMON_KEYS: [&str; 6] = ["kind", "timeout", "env", "hosts", "header", "prefix"];

impl Config {
    pub(super) fn check_keys(&self, name: &str, kind: &Kind) -> Result<()> {
        let known: Vec<_> = COMMON_KEYS.iter().chain((kind.keys)()).copied().collect();
        let Some(key) = self.table(name)?.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        let why = unknown_key(&format!("kind `{}`", kind.name), key, &known);
        Err(self.wrong(ErrorCode::ConfigUnknownKey, &["providers", name, key], Mark::Key, &why))
    }

    /// Applies the keys of every provider to a provider's entry.
    pub(super) fn apply_common_keys(&self, name: &str, entry: &mut Entry) -> Result<()> {
        let form = "a duration: \"30s\", \"2m\"";
        let timeout = self.common_key(name, "timeout", form, |value| {
            humantime::parse_duration(value.as_str()?).ok().filter(|timeout| !timeout.is_zero())
        })?;
        entry.timeout = timeout.unwrap_or(entry.timeout);
        let info = &mut entry.info;
        let form = "the name of an environment variable that no other program uses: \"MY_TOKEN\"";
        if let Some(variable) = self.common_key(name, "env", form, |value| text(value, is_variable))? {
            info.variable = variable;
        }
        let form = "a list of hosts: [\"example.org\", \"*.example.org\", \"127.0.0.1:8080\"]";
        if let Some(hosts) = self.common_key(name, "hosts", form, hosts)? {
            info.hosts = hosts;
        }
        let form = "the name of a header: \"X-Auth-Token\"";
        if let Some(header) = self.common_key(name, "header", form, |value| text(value, is_header))? {
            let is_default = header.eq_ignore_ascii_case("authorization");
            info.header = if is_default { Header::default() } else { Header::bare(&header) };
        }
        let form = "one word to put before the token, or empty: \"api-key\"";
        let is_prefix = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        if let Some(prefix) = self.common_key(name, "prefix", form, |value| text(value, is_prefix))? {
            info.header.prefix = Some(prefix);
        }
        Ok(())
    }

    /// Returns the value of a key, which `read` accepts if it has this form.
    pub(super) fn common_key<'a, T>(
        &'a self,
        name: &str,
        key: &str,
        form: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.table(name)?.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| {
            let why = format!("`{key}` must be {form}");
            self.wrong(ErrorCode::ConfigInvalidValue, &["providers", name, key], Mark::Value, &why)
        })
    }

    /// Returns the providers that other providers name in `from`.
    pub(super) fn sources(&self) -> Vec<String> {
        let from = |(_, table): (_, &Value)| table.as_dict()?.get("from")?.as_str().map(str::to_owned);
        tables(&self.merged.values).filter_map(from).collect()
    }

    /// Checks that the provider in `from` is configured, and that the `from` keys form no cycle.
    pub(super) fn check_from(&self, name: &str, from: &str) -> Result<()> {
        let wrong = |code, why: &str| self.wrong(code, &["providers", name, "from"], Mark::Value, why);
        let mut chain = vec![name, from];
        loop {
            let last = chain.last().copied().unwrap_or_default();
            let Ok(table) = self.table(last) else {
                let names = self.all_names();
                let near = did_you_mean(last, names.iter().map(String::as_str));
                let near = near.map(|near| format!(": {near}")).unwrap_or_default();
                let why = format!("no provider `{last}` is configured{near}");
                return Err(wrong(ErrorCode::ConfigInvalidValue, &why));
            };
            let Some(next) = table.get("from").and_then(Value::as_str) else { return Ok(()) };
            let is_circle = chain.contains(&next);
            chain.push(next);
            if is_circle {
                let why = format!("the `from` keys of these providers form a cycle: {}", chain.join(" -> "));
                return Err(wrong(ErrorCode::ConfigInvalid, &why));
            }
        }
    }
}

fn text(value: &Value, fits: impl Fn(&str) -> bool) -> Option<String> {
    value.as_str().filter(|text| fits(text)).map(str::to_owned)
}

/// Reads a list of hosts, which commas separate in an environment variable.
fn hosts(value: &Value) -> Option<Vec<String>> {
    let hosts: Vec<_> = match value {
        Value::String(_, text) => text.split(',').map(|host| host.trim().to_owned()).collect(),
        Value::Array(_, hosts) => hosts.iter().map(|host| text(host, |_| true)).collect::<Option<_>>()?,
        _ => return None,
    };
    hosts.iter().all(|host| is_host(host)).then_some(hosts)
}

fn is_header(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// Whether the text is the name of an environment variable for a token, which other programs do not use or print.
fn is_variable(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let reserved = ["PATH", "HOME", "IFS", "SHELL", "PWD", "USER", "TMPDIR", "ENV", "BASH_ENV"];
    let is_reserved =
        reserved.contains(&text) || ["LD_", "DYLD_", "BROKER_"].iter().any(|start| text.starts_with(start));
    text.starts_with(|c: char| !c.is_ascii_digit()) && text.chars().all(plain) && !is_reserved
}

/// Whether the text is a host name, or a pattern such as `*.example.org`. A pattern for all hosts is refused.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let name = text.strip_prefix("*.").unwrap_or(text);
    let parsed = broker_core::ServiceUrl::parse(&format!("https://{name}/"));
    let is_one = parsed.is_ok() && !name.starts_with('.') && !name.ends_with(':');
    is_one && name.chars().all(plain) && (name == text || name.contains('.'))
}
