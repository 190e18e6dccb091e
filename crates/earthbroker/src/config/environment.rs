//! Keeps URLs, hosts and programs that environment variables set apart from secrets and logins of other sources.

use broker_core::{EnvTarget, Kind, Provider, SecretSource, SettingsError};
use figment::value::Value;

use super::Config;
use super::secret_tables::is_source;
use super::variables::{EnvKey, PREFIX};

impl Config {
    /// Returns the URLs, hosts and programs of a provider that environment variables set.
    pub(super) fn env_targets(&self, name: &str) -> Vec<EnvTarget> {
        let target = |key: &EnvKey| EnvTarget::new(key.path.join("."), key.variable.clone(), &key.value);
        self.env_keys(name).filter(|key| key.is_target()).map(target).collect()
    }

    fn env_keys(&self, name: &str) -> impl Iterator<Item = &EnvKey> {
        self.merged.in_env.get(name).into_iter().flatten()
    }

    /// Fails if an environment variable sets a URL, hosts or a program, and a secret of the provider, or the token that
    /// it exchanges, is from elsewhere.
    pub(super) fn check_secret_origins(&self, name: &str, kind: &Kind) -> Result<(), SettingsError> {
        let targets = self.env_targets(name);
        let Some(target) = targets.first() else { return Ok(()) };
        let variable = |key: &[&str]| {
            let name = name.replace('-', "_");
            format!("{PREFIX}{name}__{}", key.join("__")).to_uppercase()
        };
        for key in kind.secrets {
            if let Some(key) = self.secrets_outside_env(name, key).first() {
                let key: Vec<_> = key.iter().map(String::as_str).collect();
                let origin = self.origin(&[&["providers", name], &key[..]].concat());
                return Err(target.mixed_with(&format!("`{}`", key.join(".")), &origin, &variable(&key)));
            }
        }
        // The token that a configured program prints goes to `hosts`.
        let is_own = !self.env_keys(name).any(|key| key.path.first().is_some_and(|key| key == "command"));
        if let Some(hosts) =
            targets.iter().find(|target| ["hosts", "registry"].contains(&target.key.as_str()))
            && is_own
            && (kind.keys)().contains(&"command")
        {
            let origin = self.origin(&["providers", name, "command"]);
            return Err(hosts.mixed_with("`command`", &origin, &variable(&["command"])));
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

    /// Returns the path of each configured secret whose text or source is not from the environment.
    fn secrets_outside_env(&self, name: &str, key: &str) -> Vec<Vec<String>> {
        let value = self.table(name).ok().and_then(|table| table.get(key));
        let paths: Vec<(Vec<String>, &Value)> = match value {
            Some(Value::Dict(_, several)) if !is_source(key, several) => {
                several.iter().map(|(inner, value)| (vec![key.to_owned(), inner.clone()], value)).collect()
            }
            Some(value) => vec![(vec![key.to_owned()], value)],
            None => Vec::new(),
        };
        let is_outside = |(path, value): &(Vec<String>, &Value)| {
            !self.is_env_source(value) && !self.env_keys(name).any(|key| key.path.starts_with(path))
        };
        paths.into_iter().filter(is_outside).map(|(path, _)| path).collect()
    }

    /// Whether the provider has secrets, all from the environment, so that no stored login is needed.
    fn has_only_env_secrets(&self, name: &str) -> bool {
        let Ok(kind) = self.kind_of(name) else { return false };
        let is_set = |key: &&&str| self.table(name).is_ok_and(|table| table.contains_key(**key));
        let is_env = |key: &&str| self.secrets_outside_env(name, key).is_empty();
        kind.secrets.iter().any(|key| is_set(&key)) && kind.secrets.iter().all(is_env)
    }

    /// Whether the text of this secret is in an environment variable, and not in a dotenv file.
    fn is_env_source(&self, value: &Value) -> bool {
        let source = serde_json::to_value(value).ok().and_then(|value| serde_json::from_value(value).ok());
        matches!(source, Some(SecretSource::Env(name)) if self.env.file_of(&name).is_none())
    }
}
