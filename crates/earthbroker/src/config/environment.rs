//! Environment variables that set keys of providers. URLs, hosts and programs that they set are kept apart from secrets
//! and logins of other sources.

use std::collections::{BTreeMap, BTreeSet};

use broker_core::{Env, EnvTarget, Kind, Provider, SecretSource, SettingsError};
use figment::value::{Dict, Value};
use serde::Deserialize;

use super::Config;
use super::file::ConfigFile;
use super::secrets::SENT;

/// Environment variables with this prefix set keys of providers: `BROKER_PROVIDERS__NAME__KEY`.
const PREFIX: &str = "BROKER_PROVIDERS__";

/// The tables of the requests of a provider.
const REQUESTS: [&str; 4] = ["login", "refresh", "revoke", "mint"];

/// The maximum number of nested keys in the name of an environment variable. The rest of a longer name becomes one
/// key, which is reported as unknown.
const MAX_DEPTH: usize = 16;

/// The environment variables that set keys of providers.
#[derive(Default)]
pub(super) struct Variables {
    /// The keys that they set, by provider.
    pub(super) keys: BTreeMap<String, Vec<EnvKey>>,
    /// The last variable of each provider that is not UTF-8.
    pub(super) not_utf8: BTreeMap<String, String>,
}

/// A configuration key that an environment variable sets.
pub(super) struct EnvKey {
    pub(super) variable: String,
    value: String,
    /// The names of the nested keys; empty if the variable sets the whole provider.
    path: Vec<String>,
    /// The value as a table of the provider.
    pub(super) table: Value,
}

impl Variables {
    pub(super) fn read(env: &dyn Env, files: &[ConfigFile]) -> Self {
        let (variables, invalid) = (env.vars(PREFIX), env.not_utf8(PREFIX));
        let mut read = Self::default();
        if variables.is_empty() && invalid.is_empty() {
            return read;
        }
        // The first of several names that variables spell in the same way wins.
        let all: BTreeSet<_> = files.iter().flat_map(ConfigFile::names).collect();
        let names = all.into_iter().rev().map(|name| (spelled(name), name)).collect();
        for (variable, value) in variables {
            if let Some((name, keys)) = split(&variable, &names) {
                read.keys.entry(name).or_default().push(EnvKey::new(&keys, variable, value));
            }
        }
        for variable in invalid {
            read.not_utf8.extend(split(&variable, &names).map(|(name, _)| (name, variable.clone())));
        }
        read
    }
}

/// Spells a name as environment variables do: in any case, and with `_` for `-`, which variable names cannot contain.
fn spelled(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// Returns the provider and the nested keys of `BROKER_PROVIDERS__NAME__KEY`. `names` has the configured providers.
fn split(variable: &str, names: &BTreeMap<String, &String>) -> Option<(String, Vec<String>)> {
    let mut words = variable.strip_prefix(PREFIX)?.splitn(MAX_DEPTH + 1, "__").map(str::to_lowercase);
    let name = words.next().filter(|name| !name.is_empty())?;
    let known = names.get(&spelled(&name)).map(|known| (*known).clone());
    Some((known.unwrap_or(name), words.collect()))
}

impl EnvKey {
    /// Reads a variable's value: text, also of a number, because it may be a password; or a table of a request in JSON.
    fn new(keys: &[String], variable: String, value: String) -> Self {
        let json = match keys {
            // Kinds read other tables from text; a secret that looks like JSON stays text.
            [key] if REQUESTS.contains(&key.as_str()) => serde_json::from_str::<Dict>(&value).ok(),
            _ => None,
        };
        let innermost = json.map_or_else(|| Value::from(value.as_str()), Value::from);
        let within = |value, key: &String| Value::from(Dict::from([(key.clone(), value)]));
        let table = keys.iter().rev().fold(innermost, within);
        let (mut path, mut inner) = (Vec::new(), &table);
        // JSON may set several keys of a table.
        while let Some((key, value)) =
            inner.as_dict().filter(|table| table.len() == 1).and_then(Dict::first_key_value)
        {
            path.push(key.clone());
            inner = value;
        }
        Self { variable, value, path, table }
    }

    /// Whether the key decides which service or program gets secrets, logins or tokens.
    fn is_target(&self) -> bool {
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

    /// Whether the variable sets the value at `path`, or a part of it.
    fn sets(&self, path: &[&str]) -> bool {
        self.path.len() >= path.len() && self.path.iter().zip(path).all(|(own, other)| own == other)
    }
}

impl Config {
    /// Returns the URLs, hosts and programs of a provider that environment variables set.
    pub(super) fn env_targets(&self, name: &str) -> Vec<EnvTarget> {
        let target = |key: &EnvKey| EnvTarget::new(key.path.join("."), key.variable.clone(), &key.value);
        self.env_keys(name).iter().filter(|key| key.is_target()).map(target).collect()
    }

    fn env_keys(&self, name: &str) -> &[EnvKey] {
        self.variables.keys.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Fails if an environment variable sets a URL, hosts or a program, and a secret of the provider, or the token that
    /// it exchanges, is from elsewhere.
    pub(super) fn check_secret_origins(&self, name: &str, kind: &Kind) -> Result<(), SettingsError> {
        let targets = self.env_targets(name);
        let Some(target) = targets.first() else { return Ok(()) };
        let variable = |key: &[&str]| format!("{PREFIX}{}__{}", spelled(name), key.join("__")).to_uppercase();
        let mixed = |target: &EnvTarget, key: &[&str]| {
            let origin = self.origin(&[&["providers", name], key].concat());
            target.mixed_with(&format!("`{}`", key.join(".")), &origin, &variable(key))
        };
        let mut secrets = self.secrets(name, kind);
        if let Some((path, _)) = secrets.find(|(path, value)| self.is_outside_env(name, path, value)) {
            return Err(mixed(target, &path));
        }
        // The token that a configured program prints goes to `hosts`.
        let hosts = targets.iter().find(|target| ["hosts", "registry"].contains(&target.key.as_str()));
        if let Some(hosts) = hosts
            && (kind.keys)().contains(&"command")
            && !self.env_keys(name).iter().any(|key| key.sets(&["command"]))
        {
            return Err(mixed(hosts, &["command"]));
        }
        let from = self.table(name).ok().and_then(|table| table.get("from")?.as_str());
        match from {
            Some(from) if !self.has_only_env_secrets(from) => {
                Err(target.mixed_with(&format!("the token of `{from}`"), "another provider", ""))
            }
            _ => Ok(()),
        }
    }

    /// Fails if an environment variable sets `hosts`, and the login is in a file of the service's own tools. URLs are
    /// compared with the issuer of the file's login.
    pub(super) fn check_login_file(&self, name: &str, provider: &dyn Provider) -> Result<(), SettingsError> {
        let hosts = self.env_targets(name).into_iter().find(|target| target.key == "hosts");
        match hosts.zip(provider.info().login_file.as_ref()) {
            Some((hosts, file)) => Err(hosts.mixed_with("the login", &file.path().display().to_string(), "")),
            None => Ok(()),
        }
    }

    /// Whether the provider has secrets, all from the environment, so that no stored login is needed.
    fn has_only_env_secrets(&self, name: &str) -> bool {
        let Ok(kind) = self.kind_of(name) else { return false };
        let mut secrets = self.secrets(name, kind).peekable();
        secrets.peek().is_some() && !secrets.any(|(path, value)| self.is_outside_env(name, &path, value))
    }

    /// Whether neither the secret nor its source is in an environment variable. A dotenv file is outside.
    fn is_outside_env(&self, name: &str, path: &[&str], value: &Value) -> bool {
        let source = SecretSource::deserialize(value);
        let is_env = matches!(source, Ok(SecretSource::Env(name)) if self.env.file_of(&name).is_none());
        !is_env && !self.env_keys(name).iter().any(|key| key.sets(path))
    }
}
