//! `kind = "oauth2"`: any service of OAuth 2.0, by configuration.

use std::sync::Arc;

use broker_core::{Kind, Provider, Settings, SettingsError};

/// `kind = "oauth2"`.
pub const KIND: Kind = Kind {
    name: "oauth2",
    about: "any service of OAuth 2.0, by configuration",
    keys: &[
        "flow",
        "issuer",
        "token_url",
        "device_url",
        "authorization_url",
        "revocation_url",
        "introspection_url",
        "client_id",
        "client_secret",
        "client_auth",
        "private_key",
        "key_id",
        "algorithm",
        "audience",
        "resource",
        "scope",
        "params",
        "fields",
        "redirect_uri",
        "username",
        "password",
        "from",
        "subject_token_type",
        "requested_token_type",
        "life",
    ],
    secrets: &["client_secret", "private_key", "password"],
    token_variable: "TOKEN",
    build,
};

fn build(_settings: &Settings<'_>) -> Result<Arc<dyn Provider>, SettingsError> {
    Err(SettingsError { key: String::new(), message: "not built yet".to_owned() })
}
