//! The top-level key `store`: how records are stored. A later configuration file replaces the whole value.

use std::path::PathBuf;

use broker_core::{Env, Error, ErrorCode, Result, SecretSource};
use figment::value::Value;
use serde::Deserialize;

use super::errors::Mark;
use super::file::ConfigFile;
use super::secrets;
use super::show::display_secret;
use super::{Config, ConfigWarning, Setting};

/// The environment variable that overrides the key `store` of configuration files.
const VARIABLE: &str = "BROKER_STORE";

const FORMS: &str =
    "\"file\", \"keyring\", { passphrase = { env = \"NAME\" } } or { key = { file = \"PATH\" } }";

/// The value of `store`: how records are stored.
#[derive(Debug, Clone, Default)]
pub struct StoreConfig {
    name: Option<&'static str>,
    /// The value and origin of `store`, for display; `None` for the default.
    setting: Option<Setting>,
    /// The file with a passphrase or key in its text.
    literal_in: Option<PathBuf>,
    pub(crate) passphrase: Option<SecretSource>,
    pub(crate) key: Option<SecretSource>,
}

impl StoreConfig {
    /// Reads `store` from the files' values and from the environment.
    pub(super) fn read(files: &[ConfigFile], values: &[Option<Value>], env: &dyn Env) -> Result<Self> {
        let mut config = Self::default();
        for (file, value) in files.iter().zip(values) {
            if let Some(value) = value {
                config.read_value(file, value)?;
            }
        }
        if let Some(value) = env.var(VARIABLE) {
            let Some(name) = ["file", "keyring"].into_iter().find(|name| value == *name) else {
                let why = "environment variable BROKER_STORE must be \"file\" or \"keyring\"";
                return Err(Error::new(ErrorCode::ConfigInvalidValue, why));
            };
            let origin = format!("environment variable {VARIABLE}");
            config.literal_in = None;
            config.set(name, format!("\"{name}\""), origin).map_err(Error::configuration)?;
        }
        Ok(config)
    }

    fn read_value(&mut self, file: &ConfigFile, value: &Value) -> Result<()> {
        let wrong = |keys: &[&str], why: &str| {
            let span = file.span_of(keys, Mark::Secret, &[]).unwrap_or_default();
            // The wrong value is not shown, because it may be a passphrase.
            file.error(span, Mark::Secret, ErrorCode::ConfigInvalidValue, why)
        };
        let table = value.as_dict().filter(|table| table.len() == 1);
        let source = table.and_then(|table| table.first_key_value());
        let (name, slot) = match (value.as_str(), source.map(|(key, _)| key.as_str())) {
            (Some("file"), _) => ("file", None),
            (Some("keyring"), _) => ("keyring", None),
            (_, Some("passphrase")) => ("passphrase", Some(&mut self.passphrase)),
            (_, Some("key")) => ("key", Some(&mut self.key)),
            _ => return Err(wrong(&["store"], &format!("`store` must be {FORMS}"))),
        };
        let mut shown = format!("\"{name}\"");
        self.literal_in = None;
        if let Some((slot, (_, value))) = slot.zip(source) {
            let invalid = |_| wrong(&["store", name], &format!("`store.{name}` must be {}", secrets::FORMS));
            let source = SecretSource::deserialize(value).map_err(invalid)?;
            self.literal_in = file.path.clone().filter(|_| matches!(source, SecretSource::Literal(_)));
            shown = format!("{{ {name} = {} }}", display_secret(value));
            *slot = Some(source);
        }
        self.set(name, shown, file.origin()).map_err(|why| wrong(&["store"], why))
    }

    /// Sets the value. Fails if this program was built without the Cargo feature that the value needs.
    fn set(&mut self, name: &'static str, value: String, origin: String) -> Result<(), &'static str> {
        self.name = Some(name);
        self.setting = Some(Setting { key: "store".to_owned(), value, origin });
        match name {
            "keyring" if cfg!(not(feature = "keyring")) => {
                Err("this program was built without the feature `keyring`: set `store` to \"file\"")
            }
            "keyring" if cfg!(not(target_os = "linux")) => {
                Err("`store = \"keyring\"` is supported on Linux only: use \"file\" or { key = … }")
            }
            "passphrase" | "key" if cfg!(not(feature = "sealed")) => {
                Err("this program was built without the feature `sealed`: set `store` to \"file\"")
            }
            _ => Ok(()),
        }
    }

    /// Returns how new logins are stored: `file`, `keyring`, `passphrase` or `key`.
    pub fn name(&self) -> &'static str {
        self.name.unwrap_or("file")
    }

    /// Returns the environment variables with the passphrase or the key of encrypted records.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        [&self.passphrase, &self.key].into_iter().flatten().filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl Config {
    /// Returns how records are stored.
    pub fn store(&self) -> &StoreConfig {
        &self.store
    }

    /// Returns the value and origin of `store`, if a file or an environment variable sets `store`.
    pub fn store_setting(&self) -> Option<Setting> {
        self.store.setting.clone()
    }

    /// Returns a warning if other users can read a literal secret of the key `store` in a configuration file.
    pub fn store_warning(&self) -> Option<ConfigWarning> {
        let key = format!("store.{}", self.store.name());
        ConfigWarning::readable(self.store.literal_in.as_ref()?, None, &key)
    }
}
