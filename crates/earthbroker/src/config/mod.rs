//! The configuration: its layers, the origin of each value, and errors with file, line and column.

mod common_keys;
mod environment;
mod file;
mod from;
mod layers;
mod parts;
mod problems;
mod secret_tables;
mod show;
mod source_span;
mod store;
mod text;
mod variables;
mod warning;

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_core::{Entry, Env, Error, ErrorCode, Kind, ProviderRegistry, Result, Settings, is_provider_name};
use figment::value::{Dict, Value};

use crate::suggestion;
use crate::withheld::Withholding;

use common_keys::COMMON_KEYS;
use layers::Merged;
pub use show::{Configured, Setting};
use source_span::Mark;
pub use store::StoreConfig;
pub(crate) use text::Files;
use text::Text;
pub use warning::ConfigWarning;

/// The top-level keys of a configuration file.
const TOP_KEYS: [&str; 2] = ["providers", "store"];

/// The ways to configure a secret. Errors show these forms instead of the value.
const SECRET_FORMS: &str =
    "text, { env = \"NAME\" }, { file = \"PATH\" } or { command = [\"PROGRAM\", \"ARGUMENT\"] }";

/// The configuration: the providers, their kinds, and the origin of each value.
pub struct Config {
    merged: Merged,
    /// The tables of the providers.
    providers: Dict,
    texts: Vec<Text>,
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
        let texts = text::read(files)?;
        let merged = layers::merge(&texts, env.as_ref(), &kinds, only.as_ref())?;
        // Errors show the line number of `store`, so the files are parsed again if one of them sets `store`.
        let with_key = if merged.values.contains_key("store") { texts.as_slice() } else { &[] };
        let store = StoreConfig::read(with_key, env.as_ref())?;
        let mut config = Self { merged, providers: Dict::new(), texts, kinds, store, env };
        config.providers = config.read_tables()?;
        while let Some(only) = &mut only {
            // Remove providers that were not requested, because their tables may have been parsed only in part.
            config.providers.retain(|name, _| only.contains(name));
            let before = only.len();
            only.extend(config.sources());
            // Providers that environment variables configure are parsed too: `kind` tells which variables are secrets.
            only.extend(config.merged.in_env.keys().cloned());
            if only.len() == before {
                break;
            }
            config.merged = layers::merge(&config.texts, config.env.as_ref(), &config.kinds, Some(only))?;
            config.providers = config.read_tables()?;
        }
        let mut names = config.secret_variables();
        names.extend(config.store.variables().map(str::to_owned));
        names.extend(config.env.withheld());
        config.env = Arc::new(Withholding { inner: config.env, names });
        Ok(config)
    }

    /// Returns the names of all configured providers, including those whose tables were not read.
    fn all_names(&self) -> BTreeSet<String> {
        let mut names = text::all_names(&self.texts);
        names.extend(self.merged.in_env.keys().cloned());
        names
    }

    /// Returns the providers' tables. Fails on unknown top-level keys and values of the wrong type.
    fn read_tables(&self) -> Result<Dict> {
        let all = &self.merged.values;
        if let Some(other) = all.keys().find(|key| !TOP_KEYS.contains(&key.as_str())) {
            let help = match suggestion(other, TOP_KEYS) {
                Some(key) => format!("did you mean `{key}`?"),
                None => "write `store` or a table [providers.NAME]".to_owned(),
            };
            let why = format!("unknown key `{other}`: {help}");
            return Err(self.wrong(ErrorCode::ConfigUnknownKey, &[other], Mark::Key, &why));
        }
        let wrong = |keys: &[&str], mark, why: &str| self.wrong(ErrorCode::ConfigInvalid, keys, mark, why);
        let providers = match all.get("providers") {
            Some(Value::Dict(_, providers)) => providers,
            Some(_) => {
                let why = "`providers` is not a table: write [providers.NAME]";
                return Err(wrong(&["providers"], Mark::Value, why));
            }
            // None of the requested providers is configured.
            None => return Ok(Dict::new()),
        };
        for (name, value) in providers {
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
        Ok(providers.clone())
    }

    fn table(&self, name: &str) -> Result<&Dict> {
        self.providers.get(name).and_then(Value::as_dict).ok_or_else(|| {
            let names = self.all_names();
            if names.contains(name) {
                let why = "the provider is configured, but `Setup::providers` does not name the provider";
                return Error::usage(why).for_provider(name);
            }
            let error = Error::new(ErrorCode::ProviderUnknown, "no provider of this name is configured");
            error.for_provider(name).with_hint(match suggestion(name, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("configured providers: {}", Vec::from_iter(names).join(", ")),
            })
        })
    }

    fn kind_of(&self, name: &str) -> Result<&Kind> {
        let named = match self.table(name)?.get("kind") {
            None => None,
            Some(Value::String(_, kind)) => Some(kind.as_str()),
            Some(_) => {
                let keys = ["providers", name, "kind"];
                let code = ErrorCode::ConfigInvalidValue;
                return Err(self.wrong(code, &keys, Mark::Value, "`kind` must be text"));
            }
        };
        self.kinds.iter().find(|kind| kind.name == named.unwrap_or(name)).ok_or_else(|| {
            let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name).collect();
            let known = kinds.join("`, `");
            let Some(kind) = named else {
                let why = format!("[providers.{name}] needs a line `kind = \"…\"`: one of `{known}`");
                return self.wrong(ErrorCode::ConfigMissingKey, &["providers", name], Mark::Key, &why);
            };
            let hint = suggestion(kind, kinds).map_or(String::new(), |it| format!("did you mean `{it}`? "));
            let why = format!("unknown kind `{kind}`: {hint}the kinds are `{known}`");
            self.wrong(ErrorCode::ConfigUnknownKind, &["providers", name, "kind"], Mark::Value, &why)
        })
    }

    fn build(&self, name: &str, kind: &Kind) -> Result<Entry> {
        if let Some(variable) = self.merged.not_utf8.get(name) {
            let why = format!("environment variable {variable} is not UTF-8 text");
            return Err(Error::new(ErrorCode::ConfigInvalidValue, why));
        }
        self.check_keys(name, kind)?;
        self.check_secrets(name, kind)?;
        let (timeout, variable, hosts) = (self.timeout(name)?, self.variable(name)?, self.hosts(name)?);
        let mut own = self.table(name)?.clone();
        own.retain(|key, _| !COMMON_KEYS.contains(&key.as_str()));
        let json = serde_json::to_value(&own).map_err(|error| Error::configuration(error.to_string()))?;
        let settings = Settings::new(name, json, self.env.as_ref()).with_targets(self.env_targets(name));
        let failed = |error| self.settings_error(name, kind, &error);
        self.check_secret_origins(name, kind).map_err(failed)?;
        let provider = (kind.build)(&settings).map_err(failed)?;
        self.check_login_file(name, provider.as_ref()).map_err(failed)?;
        if let Some(from) = &provider.info().derives_from {
            self.check_from(name, from)?;
        }
        let mut entry = Entry::new(provider);
        entry.timeout = timeout.unwrap_or(entry.timeout);
        let info = &mut entry.info;
        info.header = self.header(name, info.header.clone())?;
        info.variable = variable.unwrap_or(std::mem::take(&mut info.variable));
        info.hosts = hosts.unwrap_or(std::mem::take(&mut info.hosts));
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
