//! Warnings about a valid configuration.

use std::path::{Path, PathBuf};

use broker_core::{platform, quoted_path};
use figment::value::Value;

use super::Config;

/// A problem of a valid configuration that the user should fix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigWarning {
    /// The provider with the problem; `None` for the key `store`.
    pub provider: Option<String>,
    /// The configuration file with a literal secret that other users can read; `None` for another problem.
    pub readable: Option<PathBuf>,
    /// The problem.
    pub message: String,
    /// How the user fixes the problem.
    pub fix: String,
}

impl ConfigWarning {
    /// Warns of a literal secret, if other users can read its file.
    pub(super) fn readable(file: &Path, provider: Option<&str>, key: &str) -> Option<Self> {
        let of = provider.map(|provider| format!(" of {provider}")).unwrap_or_default();
        let warning = || Self {
            provider: provider.map(str::to_owned),
            readable: Some(file.to_owned()),
            message: format!("other users can read the secret `{key}`{of} in {}", file.display()),
            fix: format!("chmod 600 {}, or use {{ env }}, {{ file }} or {{ command }}", quoted_path(file)),
        };
        std::fs::metadata(file).is_ok_and(|meta| platform::others_read(&meta)).then(warning)
    }

    /// Warns of a key that is set under its old name, which still works. `origin` is a file or an environment variable.
    pub(super) fn renamed(origin: &str, provider: &str, old: &str, new: &str) -> Self {
        Self {
            provider: Some(provider.to_owned()),
            readable: None,
            message: format!("{origin}: the key `{old}` of {provider} was renamed to `{new}`"),
            fix: format!("rename `{old}` to `{new}`"),
        }
    }
}

impl Config {
    /// Returns a provider's warnings: literal secrets that other users can read, and keys under old names.
    pub fn warnings(&self, name: &str) -> Vec<ConfigWarning> {
        let secrets = self.kind_of(name).into_iter().flat_map(|kind| self.secrets(name, kind));
        let is_literal = |(_, value): &(Vec<&str>, &Value)| matches!(value, Value::String(..));
        let mut literal: Vec<_> = secrets.filter(is_literal).map(|(path, _)| path[0]).collect();
        literal.dedup();
        let readable = |key: &str| {
            let metadata = self.merged.metadata(&["providers", name, key])?;
            ConfigWarning::readable(metadata.source.as_ref()?.file_path()?, Some(name), key)
        };
        let renamed = self.merged.renamed.get(name).into_iter().flatten();
        literal.into_iter().filter_map(readable).chain(renamed.cloned()).collect()
    }
}
