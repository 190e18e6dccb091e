//! The configuration: `/etc/broker/providers.toml`, `~/.config/broker/providers.toml` and variables `BROKER_PROVIDERS__…`.
//!
//! ```toml
//! [providers.cluster]
//! kind = "earthscope"
//! client_id = "…"
//! client_secret = { env = "CLUSTER_SECRET" }
//! ```
//!
//! `docs/configuration.md` in the repository lists all keys. Errors name file, line and column.

// Three mechanisms keep one promise each: `figment` merges the layers and remembers the file or the variable of each value.
// `toml` parses values, and again only for an error, for the position of a key. `file` cuts the tables of the requested
// providers out of a long file: a stored token costs about as much with a thousand providers as with one.
mod common_keys;
mod environment;
mod errors;
mod file;
mod layers;
mod secrets;
mod show;
mod store;
mod warning;

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_core::{Entry, Env, Error, ErrorCode, Kind, ProviderRegistry, Result, Settings, is_provider_name};
use figment::value::{Dict, Value};

use crate::environment::Environment;

use common_keys::COMMON_KEYS;
use environment::Variables;
pub use errors::suggestion;
use errors::{Mark, did_you_mean};
pub(crate) use file::Files;
use file::{ConfigFile, tables};
use layers::Merged;
pub use show::{Configured, Setting};
pub use store::StoreConfig;
pub use warning::ConfigWarning;

/// The configuration: the providers, their kinds, and the origin of each value.
pub struct Config {
    merged: Merged,
    files: Vec<ConfigFile>,
    variables: Variables,
    kinds: Vec<Kind>,
    pub(crate) store: StoreConfig,
    pub(crate) env: Arc<dyn Env>,
}

impl Config {
    /// Reads the configuration. With `only`, reads just these providers and the providers that their `from` keys name.
    pub(crate) fn load(
        files: &Files,
        kinds: Vec<Kind>,
        env: Arc<dyn Env>,
        mut only: Option<BTreeSet<String>>,
    ) -> Result<Self> {
        let files = file::read(files)?;
        let variables = Variables::read(env.as_ref(), &files);
        if let Some(only) = &mut only {
            // Providers that environment variables configure are parsed too: `kind` tells which variables are secrets.
            only.extend(variables.keys.keys().cloned());
        }
        let (merged, store) = (Merged::default(), StoreConfig::default());
        let mut config = Self { merged, files, variables, kinds, store, env };
        loop {
            config.merged = layers::merge(&config, only.as_ref())?;
            config.check_tables()?;
            let Some(only) = &mut only else { break };
            // Remove providers that were not requested, because their tables may have been parsed only in part.
            if let Some(Value::Dict(_, providers)) = config.merged.values.get_mut("providers") {
                providers.retain(|name, _| only.contains(name));
            }
            let before = only.len();
            only.extend(config.sources());
            if only.len() == before {
                break;
            }
        }
        config.store = StoreConfig::read(&config.files, &config.merged.stores, config.env.as_ref())?;
        let mut names = config.secret_variables();
        names.extend(config.store.variables().map(str::to_owned));
        config.env = Arc::new(Environment::withholding(names, config.env));
        Ok(config)
    }

    /// Returns the names of all configured providers, including those whose tables were not read.
    fn all_names(&self) -> BTreeSet<String> {
        self.files.iter().flat_map(ConfigFile::names).chain(self.variables.keys.keys()).cloned().collect()
    }

    /// Fails on unknown top-level keys, invalid names and values of the wrong type.
    fn check_tables(&self) -> Result<()> {
        let all = &self.merged.values;
        if let Some(other) = all.keys().find(|key| *key != "providers") {
            let help = did_you_mean(other, ["providers", "store"]);
            let help = help.as_deref().unwrap_or("write `store` or a table [providers.NAME]");
            let why = format!("unknown key `{other}`: {help}");
            return Err(self.wrong(ErrorCode::ConfigUnknownKey, &[other], Mark::Key, &why));
        }
        let wrong = |keys: &[&str], mark, why: &str| self.wrong(ErrorCode::ConfigInvalid, keys, mark, why);
        if all.get("providers").is_some_and(|providers| providers.as_dict().is_none()) {
            let why = "`providers` is not a table: write [providers.NAME]";
            return Err(wrong(&["providers"], Mark::Value, why));
        }
        for (name, value) in tables(all) {
            if !is_provider_name(name) {
                let why =
                    format!("`{name}` is not a valid provider name: use up to 64 letters, digits, `-`, `_`");
                return Err(wrong(&["providers", name], Mark::Key, &why));
            }
            let Some(table) = value.as_dict() else {
                let why = format!("`providers.{name}` is not a table: write [providers.{name}]");
                return Err(wrong(&["providers", name], Mark::Key, &why));
            };
            // In TOML, `store` below a table header belongs to that table. The broker would ignore it and not encrypt.
            if table.contains_key("store") && !self.kinds.iter().any(|kind| (kind.keys)().contains(&"store"))
            {
                let why = "`store` must be above all tables: move it to the top of the file";
                return Err(wrong(&["providers", name, "store"], Mark::Key, why));
            }
        }
        Ok(())
    }

    fn table(&self, name: &str) -> Result<&Dict> {
        layers::table(&self.merged.values, name).ok_or_else(|| {
            let names = self.all_names();
            if names.contains(name) {
                let why = "the provider is configured, but `Setup::providers` does not name the provider";
                return Error::usage(why).for_provider(name);
            }
            let error = Error::new(ErrorCode::ProviderUnknown, "no provider of this name is configured");
            let near = did_you_mean(name, names.iter().map(String::as_str));
            let all = || format!("configured providers: {}", Vec::from_iter(names).join(", "));
            error.for_provider(name).with_hint(near.unwrap_or_else(all))
        })
    }

    fn kind_of(&self, name: &str) -> Result<&Kind> {
        let named = self.common_key(name, "kind", "text", Value::as_str)?;
        self.kinds.iter().find(|kind| kind.name == named.unwrap_or(name)).ok_or_else(|| {
            let mut kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name).collect();
            kinds.sort_unstable();
            let known = kinds.join("`, `");
            let Some(kind) = named else {
                let why = format!("[providers.{name}] needs a line `kind = \"…\"`: one of `{known}`");
                return self.wrong(ErrorCode::ConfigMissingKey, &["providers", name], Mark::Key, &why);
            };
            let near = did_you_mean(kind, kinds).map(|near| near + " ").unwrap_or_default();
            let why = format!("unknown kind `{kind}`: {near}the kinds are `{known}`");
            self.wrong(ErrorCode::ConfigUnknownKind, &["providers", name, "kind"], Mark::Value, &why)
        })
    }

    /// Returns a provider's settings, without the keys of every provider.
    fn own_settings<'a>(&'a self, name: &'a str) -> Result<Settings<'a>> {
        let mut own = self.table(name)?.clone();
        own.retain(|key, _| !COMMON_KEYS.contains(&key.as_str()));
        let json = serde_json::to_value(&own).map_err(|error| Error::configuration(error.to_string()))?;
        Ok(Settings::new(name, json, self.env.as_ref()))
    }

    /// Returns the settings of all providers of a kind.
    pub(crate) fn settings_of(&self, kind: &str) -> Vec<Settings<'_>> {
        let is_of_kind = |name: &&String| self.kind_of(name).is_ok_and(|own| own.name == kind);
        let names = tables(&self.merged.values).map(|(name, _)| name).filter(is_of_kind);
        names.filter_map(|name| self.own_settings(name).ok()).collect()
    }

    fn build(&self, name: &str, kind: &Kind) -> Result<Entry> {
        if let Some(variable) = self.variables.not_utf8.get(name) {
            let why = format!("environment variable {variable} is not UTF-8 text");
            return Err(Error::new(ErrorCode::ConfigInvalidValue, why));
        }
        self.check_keys(name, kind)?;
        self.check_secrets(name, kind)?;
        let settings = self.own_settings(name)?.with_targets(self.env_targets(name));
        let failed = |error| self.settings_error(name, kind, &error);
        self.check_secret_origins(name, kind).map_err(failed)?;
        let provider = (kind.build)(&settings).map_err(failed)?;
        self.check_login_file(name, provider.as_ref()).map_err(failed)?;
        if let Some(from) = &provider.info().derives_from {
            self.check_from(name, from)?;
        }
        let mut entry = Entry::new(provider);
        self.apply_common_keys(name, &mut entry)?;
        Ok(entry)
    }
}

impl ProviderRegistry for Config {
    fn names(&self) -> Vec<String> {
        self.all_names().into_iter().collect()
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        let kind = self.kind_of(name)?;
        self.build(name, kind).map_err(|error| error.for_provider(name))
    }
}
