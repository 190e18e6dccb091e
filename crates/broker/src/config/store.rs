//! The key `store`: how records are kept. It stands above the tables, and the last layer that has it wins as a whole.

use std::ops::Range;
use std::path::{Path, PathBuf};

use broker_core::{Env, Error, Result, SecretSource, platform};
use toml::de::{DeTable, DeValue};

use super::layers::Text;
use super::parts::Parts;
use super::source_span::{Mark, SourceSpan};
use super::{Config, Setting};

/// The environment variable that wins over files.
const VARIABLE: &str = "BROKER_STORE";

/// What would be right.
const FORMS: &str =
    "\"file\", \"keyring\", { passphrase = { env = \"NAME\" } } or { key = { file = \"PATH\" } }";

/// How records are kept, as it is configured.
#[derive(Debug, Clone, Default)]
pub struct StoreConfig {
    way: Way,
    /// Where it is from; none if it is the default.
    origin: Option<String>,
    file: Option<PathBuf>,
    passphrase: Option<SecretSource>,
    key: Option<SecretSource>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Way {
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
            config.take(text)?;
        }
        if let Some(way) = env.var(VARIABLE) {
            config.way = match way.as_str() {
                "file" => Way::File,
                "keyring" => Way::Keyring,
                _ => {
                    let why = "`BROKER_STORE` must be \"file\" or \"keyring\"";
                    return Err(Error::configuration(format!("environment variable {VARIABLE}: {why}")));
                }
            };
            (config.origin, config.file) = (Some(format!("environment variable {VARIABLE}")), None);
            config.check_built_in().map_err(Error::configuration)?;
        }
        Ok(config)
    }

    /// Takes what a file says.
    fn take(&mut self, Text { path, text }: &Text) -> Result<()> {
        // It stands above the tables.
        let head = Parts::of(text).map_or(text.as_str(), |parts| parts.head);
        // What is no TOML was told before.
        let Ok(root) = DeTable::parse(head) else { return Ok(()) };
        let Some((_, value)) = root.get_ref().iter().find(|(key, _)| key.get_ref() == "store") else {
            return Ok(());
        };
        let wrong = |span: Range<usize>, mark: Mark, why: &str| {
            let place = SourceSpan::at(path, text, span, mark);
            Error::configuration(format!("{place}: {why}{}", place.picture()))
        };
        (self.origin, self.file) = (Some(path.display().to_string()), Some(path.clone()));
        self.way = match value.get_ref() {
            DeValue::String(way) if way == "file" => Way::File,
            DeValue::String(way) if way == "keyring" => Way::Keyring,
            DeValue::Table(table) if table.len() == 1 => {
                let sources = table.iter().map(|(key, source)| (key.get_ref().as_ref(), source)).next();
                let Some((name @ ("passphrase" | "key"), source)) = sources else {
                    return Err(wrong(value.span(), Mark::Secret, &format!("`store` must be {FORMS}")));
                };
                let read = source_of(source.get_ref()).ok_or_else(|| {
                    let why = format!("`store.{name}` must be {}", super::SECRET_FORMS);
                    wrong(source.span(), Mark::Secret, &why)
                })?;
                if name == "key" {
                    self.key = Some(read);
                    Way::Key
                } else {
                    self.passphrase = Some(read);
                    Way::Passphrase
                }
            }
            // What stands there instead may be a passphrase.
            _ => return Err(wrong(value.span(), Mark::Secret, &format!("`store` must be {FORMS}"))),
        };
        self.check_built_in().map_err(|why| wrong(value.span(), Mark::Secret, &why))
    }

    /// Whether this program can do it.
    fn check_built_in(&self) -> Result<(), String> {
        let feature = match self.way {
            Way::File => return Ok(()),
            Way::Keyring if cfg!(all(feature = "keyring", target_os = "linux")) => return Ok(()),
            Way::Keyring if cfg!(feature = "keyring") => {
                return Err(
                    "`store = \"keyring\"` is known on Linux only: use \"file\" or { key = … }".to_owned()
                );
            }
            Way::Passphrase | Way::Key if cfg!(feature = "sealed") => return Ok(()),
            Way::Keyring => "keyring",
            Way::Passphrase | Way::Key => "sealed",
        };
        Err(format!("this program was built without the feature `{feature}`, which this needs: use \"file\""))
    }

    /// How new logins are kept: `file`, `keyring`, `passphrase` or `key`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.way {
            Way::File => "file",
            Way::Keyring => "keyring",
            Way::Passphrase => "passphrase",
            Way::Key => "key",
        }
    }

    /// Where a passphrase and a key come from, whichever is used: `BROKER_STORE` does not take away what opens records.
    #[cfg(feature = "sealed")]
    pub(crate) fn sources(&self) -> [Option<SecretSource>; 2] {
        [self.passphrase.clone(), self.key.clone()]
    }

    /// The environment variables that open records.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        [&self.passphrase, &self.key].into_iter().flatten().filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.as_str()),
            _ => None,
        })
    }

    fn source(&self) -> Option<&SecretSource> {
        match self.way {
            Way::File | Way::Keyring => None,
            Way::Passphrase => self.passphrase.as_ref(),
            Way::Key => self.key.as_ref(),
        }
    }

    fn value(&self) -> String {
        let Some(source) = self.source() else { return format!("\"{}\"", self.name()) };
        let text = |text: &str| toml::Value::from(text).to_string();
        let source = match source {
            SecretSource::Literal(_) => "\"[redacted]\"".to_owned(),
            SecretSource::Env(name) => format!("{{ env = {} }}", text(name)),
            SecretSource::File(path) => format!("{{ file = {} }}", text(&path.display().to_string())),
            // Of a command's arguments any may be secret.
            SecretSource::Command(words) => {
                let program = words.first().map(|word| text(word)).unwrap_or_default();
                format!("{{ command = [{program}{}] }}", if words.len() > 1 { ", …" } else { "" })
            }
        };
        format!("{{ {} = {source} }}", self.name())
    }
}

impl Config {
    /// How records are kept.
    #[must_use]
    pub fn store(&self) -> &StoreConfig {
        &self.store
    }

    /// The key `store`, if anything sets it.
    #[must_use]
    pub fn store_setting(&self) -> Option<Setting> {
        let origin = self.store.origin.clone()?;
        Some(Setting { key: "store".to_owned(), value: self.store.value(), origin })
    }

    /// What is not well with it: a secret in a file that others can read.
    #[must_use]
    pub fn store_warning(&self) -> Option<String> {
        let file = self.store.file.as_deref().filter(|file| others_can_read(file))?;
        let is_literal = matches!(self.store.source(), Some(SecretSource::Literal(_)));
        is_literal.then(|| {
            format!(
                "{} holds the {} of `store`, and others can read it: chmod 600, or use {{ env }}, {{ file }} or {{ command }}",
                file.display(),
                self.store.name()
            )
        })
    }
}

fn source_of(value: &DeValue<'_>) -> Option<SecretSource> {
    let json = match value {
        DeValue::String(text) => serde_json::Value::from(text.as_ref()),
        DeValue::Table(table) => {
            let list = |words: &toml::de::DeArray<'_>| {
                words
                    .iter()
                    .map(|word| word.get_ref().as_str().map(serde_json::Value::from))
                    .collect::<Option<Vec<_>>>()
            };
            let part = |value: &DeValue<'_>| match value {
                DeValue::String(text) => Some(serde_json::Value::from(text.as_ref())),
                DeValue::Array(words) => list(words).map(serde_json::Value::Array),
                _ => None,
            };
            let parts =
                table.iter().map(|(key, value)| Some((key.get_ref().to_string(), part(value.get_ref())?)));
            serde_json::Value::Object(parts.collect::<Option<_>>()?)
        }
        _ => return None,
    };
    serde_json::from_value(json).ok()
}

fn others_can_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| platform::others_read(&meta))
}
