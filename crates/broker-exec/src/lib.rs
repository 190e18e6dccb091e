//! `kind = "exec"`. A program in any language: a plugin, or whatever prints a token.

use std::sync::Arc;

use broker_core::{Kind, Provider, Settings, SettingsError};

/// `kind = "exec"`.
pub const KIND: Kind = Kind {
    name: "exec",
    about: "a program in any language: a plugin, or whatever prints a token",
    keys: &["command", "speaks", "secrets", "settings", "token", "expires", "expires_as", "registry", "life"],
    secrets: &["secrets"],
    token_variable: "TOKEN",
    build,
};

fn build(_settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    Err(SettingsError { key: String::new(), message: "not built yet".to_owned() })
}
