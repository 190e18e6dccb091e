//! Warnings about a valid configuration.

use std::fmt;
use std::path::{Path, PathBuf};

use broker_core::{platform, quoted_path};
use figment::value::Value;

use super::Config;

/// A problem of a valid configuration that the user should fix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigWarning {
    /// The configuration file has a literal secret, and other users can read the file.
    SecretReadable {
        /// The configuration file.
        file: PathBuf,
        /// The provider with the secret; `None` for the key `store`.
        provider: Option<String>,
        /// The configuration key that contains the secret.
        key: String,
    },
    /// A key is set under its old name, which still works.
    KeyRenamed {
        /// The file or the environment variable that uses the old name.
        origin: String,
        /// The provider whose table contains the key.
        provider: String,
        /// The old name of the configuration key.
        old: &'static str,
        /// The new name of the configuration key.
        new: &'static str,
    },
}

impl ConfigWarning {
    /// Returns the advice to print with the warning.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::SecretReadable { file, .. } => {
                format!("chmod 600 {}, or use {{ env }}, {{ file }} or {{ command }}", quoted_path(file))
            }
            Self::KeyRenamed { old, new, .. } => format!("rename `{old}` to `{new}`"),
        }
    }
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretReadable { file, provider, key } => {
                let of = provider.as_ref().map(|provider| format!(" of {provider}")).unwrap_or_default();
                write!(f, "other users can read the secret `{key}`{of} in {}", file.display())
            }
            Self::KeyRenamed { origin, provider, old, new } => {
                write!(f, "{origin}: the key `{old}` of {provider} was renamed to `{new}`")
            }
        }
    }
}

impl Config {
    /// Returns a provider's warnings: literal secrets that other users can read, and keys under old names.
    #[must_use]
    pub fn warnings(&self, name: &str) -> Vec<ConfigWarning> {
        let secrets = self.kind_of(name).into_iter().flat_map(|kind| self.secrets(name, kind));
        let is_literal = |(_, value): &(Vec<&str>, &Value)| matches!(value, Value::String(..));
        let mut literal: Vec<_> = secrets.filter(is_literal).map(|(path, _)| path[0]).collect();
        literal.dedup();
        let readable = |key: &str| {
            let metadata = self.merged.metadata(&["providers", name, key])?;
            let file = metadata.source.as_ref()?.file_path().filter(|file| others_can_read(file))?;
            Some(ConfigWarning::SecretReadable {
                file: file.to_owned(),
                provider: Some(name.to_owned()),
                key: key.to_owned(),
            })
        };
        let renamed = self.merged.renamed.get(name).into_iter().flatten();
        literal.into_iter().filter_map(readable).chain(renamed.cloned()).collect()
    }
}

pub(super) fn others_can_read(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| platform::others_read(&meta))
}
