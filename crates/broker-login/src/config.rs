//! The configuration keys of `kind = "login"`.

use std::collections::BTreeMap;

use broker_core::{ConfigDuration, SecretSource, Settings, SettingsError};
use serde::Deserialize;

use crate::request::{NO_COLON, Request};
use crate::table::{Role, Table};

/// The settings of a provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<SecretSource>,
    #[serde(default)]
    pub(crate) secrets: BTreeMap<String, SecretSource>,
    login: Option<Table>,
    refresh: Option<Table>,
    mint: Option<Table>,
    revoke: Option<Table>,
    #[serde(rename = "life")]
    pub(crate) lifetime: Option<ConfigDuration>,
}

pub(crate) struct Requests {
    pub(crate) login: Request,
    pub(crate) refresh: Option<Request>,
    pub(crate) mint: Option<Request>,
    pub(crate) revoke: Option<Request>,
}

impl Config {
    pub(crate) fn requests(&mut self) -> Result<Requests, SettingsError> {
        let login = self.login.take().ok_or_else(|| {
            SettingsError::missing("login", "a table for the login request with `url`, and `json` or `form`")
        })?;
        let secrets = &self.secrets;
        let optional =
            |table: Option<Table>, role| table.map(|table| Request::new(table, role, secrets)).transpose();
        let requests = Requests {
            refresh: optional(self.refresh.take(), Role::Refresh)?,
            mint: optional(self.mint.take(), Role::Mint)?,
            revoke: optional(self.revoke.take(), Role::Revoke)?,
            login: Request::new(login, Role::Login, secrets)?,
        };
        let has_colon = self.username.as_ref().is_some_and(|name| name.contains(':'));
        if has_colon && requests.login.is_basic() {
            return Err(SettingsError::new("username", NO_COLON));
        }
        Ok(requests)
    }

    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let mut config: Self = settings.parse()?;
        config.username = config.username.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        if config.username.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(SettingsError::expected("username", "one line of text"));
        }
        Ok(config)
    }
}
