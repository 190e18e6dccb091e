//! The configuration keys that every provider may have: `timeout`, `env`, `hosts`, `header`, `prefix`.

use std::time::Duration;

use broker_core::{Error, ErrorCode, Header, Kind, Result};
use figment::value::Value;

use super::Config;
use super::problems::unknown_key;
use super::source_span::Mark;
use crate::suggestion;

pub(super) const COMMON_KEYS: [&str; 6] = ["kind", "timeout", "env", "hosts", "header", "prefix"];

impl Config {
    pub(super) fn check_keys(&self, name: &str, kind: &Kind) -> Result<()> {
        let known: Vec<_> = COMMON_KEYS.iter().chain((kind.keys)()).copied().collect();
        let Some(key) = self.table(name)?.keys().find(|key| !known.contains(&key.as_str())) else {
            return Ok(());
        };
        let near = suggestion(key, known.iter().copied());
        let why = unknown_key(&format!("kind `{}`", kind.name), key, near, &known);
        Err(self.wrong(ErrorCode::ConfigUnknownKey, &["providers", name, key], Mark::Key, &why))
    }

    pub(super) fn timeout(&self, name: &str) -> Result<Option<Duration>> {
        let Some(value) = self.table(name)?.get("timeout") else { return Ok(None) };
        let timeout = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        match timeout.filter(|timeout| !timeout.is_zero()) {
            Some(timeout) => Ok(Some(timeout)),
            None => Err(self.wrong_form(name, "timeout", "a duration: \"30s\", \"2m\"")),
        }
    }

    /// Returns the value of `env`: the environment variable that other programs read the token from.
    pub(super) fn variable(&self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.table(name)?.get("env") else { return Ok(None) };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match value.as_str().filter(|text| text.chars().all(plain) && !text.is_empty()) {
            Some(text) if !text.starts_with(|c: char| c.is_ascii_digit()) && !is_reserved(text) => {
                Ok(Some(text.to_owned()))
            }
            _ => {
                let form = "the name of an environment variable that no other program uses: \"MY_TOKEN\"";
                Err(self.wrong_form(name, "env", form))
            }
        }
    }

    /// Returns the value of `hosts`: the hosts that may receive the token. In an environment variable, commas separate
    /// the hosts.
    pub(super) fn hosts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(value) = self.table(name)?.get("hosts") else { return Ok(None) };
        let hosts: Option<Vec<String>> = match value {
            Value::String(_, text) => Some(text.split(',').map(|host| host.trim().to_owned()).collect()),
            Value::Array(_, hosts) => hosts.iter().map(|host| host.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let form = "a list of hosts: [\"example.org\", \"*.example.org\", \"127.0.0.1:8080\"]";
        let hosts = hosts.filter(|hosts| hosts.iter().all(|host| is_host(host)));
        hosts.map(Some).ok_or_else(|| self.wrong_form(name, "hosts", form))
    }

    /// Returns the header that carries the token. The provider's `default` is used unless `header` or `prefix` is set.
    pub(super) fn header(&self, name: &str, default: Header) -> Result<Header> {
        let text = |key: &'static str, fits: fn(&str) -> bool, form: &str| match self.table(name)?.get(key) {
            None => Ok(None),
            Some(value) => match value.as_str().filter(|text| fits(text)) {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.wrong_form(name, key, form)),
            },
        };
        let is_name = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let is_prefix = |text: &str| text.chars().all(|c| c.is_ascii_graphic());
        let header = text("header", is_name, "the name of a header: \"X-Auth-Token\"")?;
        let prefix = text("prefix", is_prefix, "one word to put before the token, or empty: \"api-key\"")?;
        let mut header = header.map_or(default, |header| match header.to_ascii_lowercase().as_str() {
            "authorization" => Header::default(),
            _ => Header::bare(&header),
        });
        if prefix.is_some() {
            header.prefix = prefix;
        }
        Ok(header)
    }

    fn wrong_form(&self, name: &str, key: &str, form: &str) -> Error {
        let why = format!("`{key}` must be {form}");
        self.wrong(ErrorCode::ConfigInvalidValue, &["providers", name, key], Mark::Value, &why)
    }
}

/// Whether other programs use or print this environment variable. A token must not be stored in such a variable.
fn is_reserved(variable: &str) -> bool {
    let names = ["PATH", "HOME", "IFS", "SHELL", "PWD", "USER", "TMPDIR", "ENV", "BASH_ENV"];
    names.contains(&variable) || ["LD_", "DYLD_", "BROKER_"].iter().any(|start| variable.starts_with(start))
}

/// Whether the text is a host name, or a pattern such as `*.example.org`. A pattern for all hosts is refused.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    let name = text.strip_prefix("*.").unwrap_or(text);
    let parsed = broker_core::ServiceUrl::parse(&format!("https://{name}/"));
    let is_one = parsed.is_ok() && !name.starts_with('.') && !name.ends_with(':');
    is_one && name.chars().all(plain) && (name == text || name.contains('.'))
}
