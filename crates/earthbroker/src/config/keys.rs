//! The configuration keys of every provider: `timeout`, `env`, `hosts`, `header`, `prefix`, and `from = "SOURCE"`: the
//! provider exchanges the token of provider SOURCE for its own token. And which values are secrets, or may be.

use broker_core::{Entry, ErrorCode, Header, Kind, Result, SecretSource};
use figment::value::{Dict, Value};
use serde::Deserialize;

use super::Config;
use super::errors::{Mark, did_you_mean, unknown_key};
use super::file::tables;

pub(super) const COMMON_KEYS: [&str; 6] = ["kind", "timeout", "env", "hosts", "header", "prefix"];

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
