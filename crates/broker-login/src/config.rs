//! The keys of `kind = "login"`, as they are written.

use std::collections::BTreeMap;

use broker_core::{ExpiresAs, Lifetime, Method, SecretSource, Settings, SettingsError};
use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use crate::request::{Request, Role};

/// A provider of the kind.
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
    pub(crate) life: Option<Life>,
}

/// The requests of a provider.
pub(crate) struct Requests {
    pub(crate) login: Request,
    pub(crate) refresh: Option<Request>,
    pub(crate) mint: Option<Request>,
    pub(crate) revoke: Option<Request>,
}

/// A table of a request and of its answer.
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
    #[serde(default)]
    pub(crate) refused: Statuses,
    pub(crate) life: Option<Life>,
    pub(crate) scopes: Option<Words>,
}

impl Config {
    pub(crate) fn requests(&mut self) -> Result<Requests, SettingsError> {
        let login = self.login.take().ok_or_else(|| {
            wrong(
                "login",
                "it is missing: a table of the request that logs in, with `url` and `json` or `form`",
            )
        })?;
        let secrets = &self.secrets;
        let other =
            |table: Option<Table>, role| table.map(|table| Request::new(table, role, secrets)).transpose();
        Ok(Requests {
            refresh: other(self.refresh.take(), Role::Refresh)?,
            mint: other(self.mint.take(), Role::Mint)?,
            revoke: other(self.revoke.take(), Role::Revoke)?,
            login: Request::new(login, Role::Login, secrets)?,
        })
    }

    pub(crate) fn read(settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let mut config: Self = settings.parse()?;
        config.username = config.username.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        if config.username.as_ref().is_some_and(|name| name.chars().any(char::is_control)) {
            return Err(wrong("username", "it must be a line of text"));
        }
        Ok(config)
    }
}

/// A setting that does not fit.
pub(crate) fn wrong(key: &str, message: &str) -> SettingsError {
    SettingsError { key: key.to_owned(), message: message.to_owned() }
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Verb {
    #[default]
    Post,
    Get,
    Delete,
}

impl Verb {
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Post => Method::Post,
            Self::Get => Method::Get,
            Self::Delete => Method::Delete,
        }
    }
}

/// How a request says who asks.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    #[default]
    None,
    /// With the login's token (RFC 6750 section 2.1).
    Bearer,
    /// With username and password (RFC 7617).
    Basic,
}

/// A duration: `"30d"`.
pub(crate) struct Life(pub(crate) TimeDelta);

impl<'de> Deserialize<'de> for Life {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer).unwrap_or_default();
        let read = match text.parse() {
            Ok(Lifetime::For(life)) if !life.is_zero() => TimeDelta::from_std(life).ok(),
            _ => None,
        };
        read.map(Self).ok_or_else(|| de::Error::custom("expected a duration: \"12h\", \"30d\""))
    }
}

/// A table; as one text (an environment layer has no other values) it is JSON.
#[derive(Default)]
pub(crate) struct Fields(pub(crate) Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Value::deserialize(deserializer)? {
            Value::Object(fields) => Some(fields),
            Value::String(text) => serde_json::from_str(&text).ok(),
            _ => None,
        };
        read.map(Self).ok_or_else(|| de::Error::custom("expected a table: { name = \"value\" }"))
    }
}

/// A list of words; as one text they stand between blanks or commas, or are JSON.
#[derive(Default)]
pub(crate) struct Words(pub(crate) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Value::deserialize(deserializer)? {
            Value::String(text) => serde_json::from_str(&text).ok().or_else(|| Some(words(&text))),
            list => serde_json::from_value(list).ok(),
        };
        let fit = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_graphic());
        let read = read.filter(|list: &Vec<String>| !list.is_empty() && list.iter().all(fit));
        read.map(Self).ok_or_else(|| de::Error::custom("expected a list of words: [\"stac\"]"))
    }
}

fn words(text: &str) -> Vec<String> {
    text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Statuses of HTTP that are no trouble of the service's own.
#[derive(Default)]
pub(crate) struct Statuses(pub(crate) Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read: Option<Vec<u16>> = match Value::deserialize(deserializer)? {
            Value::String(text) => {
                words(text.trim_matches(['[', ']'])).iter().map(|word| word.parse().ok()).collect()
            }
            list => serde_json::from_value(list).ok(),
        };
        let fit = |status: &u16| (400..500).contains(status) && ![408, 421, 425, 429, 499].contains(status);
        let read = read.filter(|list| list.iter().all(fit));
        read.map(Self).ok_or_else(|| {
            de::Error::custom("expected a list of statuses of HTTP that are refusals: [400, 404]")
        })
    }
}
