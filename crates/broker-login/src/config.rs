//! The configuration keys of `kind = "login"`.

use std::collections::BTreeMap;

use broker_core::{ConfigDuration, ExpiresAs, Fields, SecretSource, Settings, SettingsError, Words};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::mint::Mint;
use crate::request::{NO_COLON, Request};

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
    lifetime: Option<ConfigDuration>,
}

pub(crate) struct Requests {
    pub(crate) login: Request,
    pub(crate) refresh: Option<Request>,
    pub(crate) mint: Option<Mint>,
    pub(crate) revoke: Option<Request>,
}

impl Config {
    /// Reads the settings, and the requests of their tables.
    pub(crate) fn read(settings: &Settings<'_>) -> Result<(Self, Requests), SettingsError> {
        let mut config: Self = settings.parse()?;
        config.username = config.username.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        if config.username.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(SettingsError::expected("username", "one line of text"));
        }
        let login = config.login.take().ok_or_else(|| {
            SettingsError::missing("login", "a table for the login request with `url`, and `json` or `form`")
        })?;
        let request = |table, role| {
            let mut request = Request::new(table, role, &config.secrets)?;
            request.table.lifetime = request.table.lifetime.or(config.lifetime);
            Ok::<_, SettingsError>(request)
        };
        let optional = |table: Option<Table>, role| table.map(|table| request(table, role)).transpose();
        let requests = Requests {
            refresh: optional(config.refresh.take(), Role::Refresh)?,
            mint: optional(config.mint.take(), Role::Mint)?.map(Mint::new),
            revoke: optional(config.revoke.take(), Role::Revoke)?,
            login: request(login, Role::Login)?,
        };
        let has_colon = config.username.as_ref().is_some_and(|name| name.contains(':'));
        if has_colon && requests.login.is_basic() {
            return Err(SettingsError::new("username", NO_COLON));
        }
        Ok((config, requests))
    }
}

/// The request that a configuration table describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Login,
    Refresh,
    Mint,
    Revoke,
}

impl Role {
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Refresh => "refresh",
            Self::Mint => "mint",
            Self::Revoke => "revoke",
        }
    }

    /// Whether the response has the login's tokens.
    pub(crate) fn is_login(self) -> bool {
        matches!(self, Self::Login | Self::Refresh)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    #[serde(default)]
    pub(crate) method: Verb,
    pub(crate) url: Option<String>,
    pub(crate) json: Option<Fields>,
    pub(crate) form: Option<Fields>,
    #[serde(default)]
    pub(crate) query: Fields,
    #[serde(default)]
    pub(crate) headers: Fields,
    #[serde(default)]
    pub(crate) auth: Auth,
    pub(crate) token: Option<String>,
    pub(crate) refresh_token: Option<String>,
    pub(crate) expires: Option<String>,
    pub(crate) expires_as: Option<ExpiresAs>,
    pub(crate) error: Option<String>,
    pub(crate) account: Option<String>,
    #[serde(default, deserialize_with = "final_statuses")]
    pub(crate) refused: Vec<u16>,
    #[serde(default)]
    pub(crate) error_final: Words,
    #[serde(rename = "life")]
    pub(crate) lifetime: Option<ConfigDuration>,
    pub(crate) scopes: Option<Words>,
}

/// The HTTP methods as the configuration writes them.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verb {
    #[default]
    Post,
    Get,
    Delete,
}

/// How a configured request authenticates to the service.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    #[default]
    None,
    /// Sends the login's token as a Bearer token (RFC 6750 section 2.1).
    Bearer,
    /// Sends the username and the password by HTTP Basic (RFC 7617).
    Basic,
}

/// Reads the 4xx statuses that mean a permanent refusal. Rejects statuses of transient errors, such as 429.
fn final_statuses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u16>, D::Error> {
    let statuses: Option<Vec<u16>> = match Value::deserialize(deserializer)? {
        Value::String(text) => {
            let words = text.trim_matches(['[', ']']).split([' ', ',']).filter(|word| !word.is_empty());
            words.map(|word| word.parse().ok()).collect()
        }
        list => serde_json::from_value(list).ok(),
    };
    let is_allowed =
        |status: &u16| (400..500).contains(status) && ![408, 421, 425, 429, 499].contains(status);
    let statuses = statuses.filter(|list| list.iter().all(is_allowed));
    statuses.ok_or_else(|| {
        let form = "a list of the HTTP statuses of a refused request: [400, 404]";
        de::Error::invalid_value(de::Unexpected::Other("value"), &form)
    })
}
