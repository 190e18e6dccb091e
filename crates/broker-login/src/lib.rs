//! `kind = "login"`. A login of one or two requests, described in the configuration.

use std::sync::Arc;

use broker_core::{Kind, Provider, Settings, SettingsError};

/// `kind = "login"`.
pub const KIND: Kind = Kind {
    name: "login",
    about: "a login of one or two requests, described in the configuration",
    keys: &["username", "password", "secrets", "login", "refresh", "mint", "revoke", "life"],
    secrets: &["password", "secrets"],
    token_variable: "TOKEN",
    build,
};

fn build(_settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    Err(SettingsError { key: String::new(), message: "not built yet".to_owned() })
}
