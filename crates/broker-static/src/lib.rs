//! `kind = "static"`. A key or token that somebody gave, handed out as it is.

use std::sync::Arc;

use broker_core::{Kind, Provider, Settings, SettingsError};

/// `kind = "static"`.
pub const KIND: Kind = Kind {
    name: "static",
    about: "a key or token that somebody gave, handed out as it is",
    keys: &["token", "username", "life", "expires"],
    secrets: &["token"],
    token_variable: "TOKEN",
    build,
};

fn build(_settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    Err(SettingsError { key: String::new(), message: "not built yet".to_owned() })
}
