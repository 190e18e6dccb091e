//! Configuration keys that environment variables set, and that decide where secrets, logins and tokens are sent.

use crate::provider::{SettingsError, SettingsProblem};
use crate::token::{Secret, fingerprint};

/// A URL, the hosts or a program that an environment variable sets. Whoever sets one variable must not get a secret of
/// a file, a stored login or a stored token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EnvTarget {
    /// The key, with dots between nested names.
    pub key: String,
    /// The environment variable.
    pub variable: String,
    /// A fingerprint of key and value. The value may contain a secret.
    pub(crate) mark: String,
}

impl EnvTarget {
    /// Creates a target from the key, the variable and the variable's value.
    #[must_use]
    pub fn new(key: String, variable: String, value: &str) -> Self {
        let mark = fingerprint(&key, &Secret::new(value), 64);
        Self { key, variable, mark }
    }

    /// Returns the error for `secret` (such as a key) from `origin`, which the target must not get. `variable` is the
    /// environment variable that could set this secret too; empty if there is none.
    pub fn mixed_with(&self, secret: &str, origin: &str, variable: &str) -> SettingsError {
        let Self { key, variable: own, .. } = self;
        let message = format!(
            "{own} (environment) sets `{key}`, but {secret} is from {origin}: a URL, hosts or program of the environment \
             gets no secret from another source"
        );
        let file = format!("set `{key}` in the configuration file, and unset {own}");
        let hint = if variable.is_empty() { file } else { format!("{file}; or set {variable} too") };
        SettingsError { problem: SettingsProblem::MixedSources(hint), ..SettingsError::new(key, message) }
    }
}
