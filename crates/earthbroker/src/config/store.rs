//! The top-level key `store`: how records are stored. A later configuration file replaces the whole value.

use std::ops::Range;
use std::path::PathBuf;

use broker_core::{Env, Error, ErrorCode, Result, SecretSource};
use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::parts::Parts;
use super::source_span::{Mark, SourceSpan};
use super::text::Text;
use super::warning::others_can_read;
use super::{Config, ConfigWarning, SECRET_FORMS, Setting};

/// The environment variable that overrides the key `store` of configuration files.
const VARIABLE: &str = "BROKER_STORE";

const FORMS: &str =
    "\"file\", \"keyring\", { passphrase = { env = \"NAME\" } } or { key = { file = \"PATH\" } }";

/// The value of `store`: how records are stored.
#[derive(Debug, Clone, Default)]
pub struct StoreConfig {
    format: Format,
    /// The file or the environment variable that sets `store`; `None` for the default.
    origin: Option<String>,
    file: Option<PathBuf>,
    passphrase: Option<SecretSource>,
    key: Option<SecretSource>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Format {
    #[default]
    File,
    Keyring,
    Passphrase,
    Key,
}

impl StoreConfig {
    pub(super) fn read(texts: &[Text], env: &dyn Env) -> Result<Self> {
        let mut config = Self::default();
        for text in texts {
            config.read_file(text)?;
        }
        if let Some(value) = env.var(VARIABLE) {
            config.format = match value.as_str() {
                "file" => Format::File,
                "keyring" => Format::Keyring,
                _ => {
                    let why = "environment variable BROKER_STORE must be \"file\" or \"keyring\"";
                    return Err(Error::new(ErrorCode::ConfigInvalidValue, why));
                }
            };
            (config.origin, config.file) = (Some(format!("environment variable {VARIABLE}")), None);
            config.check_built_in().map_err(Error::configuration)?;
        }
        Ok(config)
    }

    /// Reads the key `store` from a configuration file.
    fn read_file(&mut self, Text { path, text, .. }: &Text) -> Result<()> {
        let head = Parts::of(text).map_or(text.as_str(), |parts| parts.head);
        // If the file is not valid TOML, another check reports the syntax error.
        let Ok(root) = DeTable::parse(head) else { return Ok(()) };
        let Some((_, value)) = root.get_ref().iter().find(|(key, _)| key.get_ref() == "store") else {
            return Ok(());
        };
        let wrong = |span: Range<usize>, mark: Mark, why: &str| {
            SourceSpan::at(path, text, span, mark).error(ErrorCode::ConfigInvalidValue, why)
        };
        (self.origin, self.file) = (Some(path.display().to_string()), Some(path.clone()));
        self.format = match value.get_ref() {
            DeValue::String(text) if text == "file" => Format::File,
            DeValue::String(text) if text == "keyring" => Format::Keyring,
            DeValue::Table(table) if table.len() == 1 => {
                let sources = table.iter().map(|(key, source)| (key.get_ref().as_ref(), source)).next();
                let Some((name @ ("passphrase" | "key"), source)) = sources else {
                    return Err(wrong(value.span(), Mark::Secret, &format!("`store` must be {FORMS}")));
                };
                let read =
                    SecretSource::deserialize(ValueDeserializer::from(source.clone())).map_err(|_| {
                        let why = format!("`store.{name}` must be {SECRET_FORMS}");
                        wrong(source.span(), Mark::Secret, &why)
                    })?;
                let (slot, format) = match name {
                    "key" => (&mut self.key, Format::Key),
                    _ => (&mut self.passphrase, Format::Passphrase),
                };
                *slot = Some(read);
                format
            }
            // The wrong value is not shown, because it may be a passphrase.
            _ => return Err(wrong(value.span(), Mark::Secret, &format!("`store` must be {FORMS}"))),
        };
        self.check_built_in().map_err(|why| wrong(value.span(), Mark::Secret, &why))
    }

    /// Checks that this program was built with the Cargo feature that the value of `store` needs.
    fn check_built_in(&self) -> Result<(), String> {
        let feature = match self.format {
            Format::File => return Ok(()),
            Format::Keyring if cfg!(all(feature = "keyring", target_os = "linux")) => return Ok(()),
            Format::Keyring if cfg!(feature = "keyring") => {
                return Err("`store = \"keyring\"` is supported on Linux only: use \"file\" or { key = … }"
                    .to_owned());
            }
            Format::Passphrase | Format::Key if cfg!(feature = "sealed") => return Ok(()),
            Format::Keyring => "keyring",
            Format::Passphrase | Format::Key => "sealed",
        };
        Err(format!("this program was built without the feature `{feature}`: set `store` to \"file\""))
    }

    /// Returns how new logins are stored: `file`, `keyring`, `passphrase` or `key`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.format {
            Format::File => "file",
            Format::Keyring => "keyring",
            Format::Passphrase => "passphrase",
            Format::Key => "key",
        }
    }

    /// Returns where to read the passphrase and the key of encrypted records. Existing records need these secrets even
    /// if `BROKER_STORE` overrides `store`.
    #[cfg(feature = "sealed")]
    pub(crate) fn sources(&self) -> [Option<SecretSource>; 2] {
        [self.passphrase.clone(), self.key.clone()]
    }

    /// Returns the environment variables with the passphrase or the key of encrypted records.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        [&self.passphrase, &self.key].into_iter().flatten().filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.as_str()),
            _ => None,
        })
    }

    fn source(&self) -> Option<&SecretSource> {
        match self.format {
            Format::File | Format::Keyring => None,
            Format::Passphrase => self.passphrase.as_ref(),
            Format::Key => self.key.as_ref(),
        }
    }

    fn value(&self) -> String {
        let Some(source) = self.source() else { return format!("\"{}\"", self.name()) };
        let text = |text: &str| toml::Value::from(text).to_string();
        let source = match source {
            SecretSource::Literal(_) => "\"[redacted]\"".to_owned(),
            SecretSource::Env(name) => format!("{{ env = {} }}", text(name)),
            SecretSource::File(path) => format!("{{ file = {} }}", text(&path.display().to_string())),
            // The arguments of a command that prints a secret may be secrets, so only the program is shown.
            SecretSource::Command(words) => {
                let program = words.first().map(|word| text(word)).unwrap_or_default();
                format!("{{ command = [{program}{}] }}", if words.len() > 1 { ", …" } else { "" })
            }
        };
        format!("{{ {} = {source} }}", self.name())
    }
}

impl Config {
    /// Returns how records are stored.
    #[must_use]
    pub fn store(&self) -> &StoreConfig {
        &self.store
    }

    /// Returns the value and origin of `store`, if a file or an environment variable sets `store`.
    #[must_use]
    pub fn store_setting(&self) -> Option<Setting> {
        let origin = self.store.origin.clone()?;
        Some(Setting { key: "store".to_owned(), value: self.store.value(), origin })
    }

    /// Returns a warning if other users can read a literal secret of the key `store` in a configuration file.
    #[must_use]
    pub fn store_warning(&self) -> Option<ConfigWarning> {
        let file = self.store.file.clone().filter(|file| others_can_read(file))?;
        let is_literal = matches!(self.store.source(), Some(SecretSource::Literal(_)));
        let key = format!("store.{}", self.store.name());
        is_literal.then_some(ConfigWarning::SecretReadable { file, provider: None, key })
    }
}
