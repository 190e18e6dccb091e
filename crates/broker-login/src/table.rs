//! The configuration table of a request and its response.

use broker_core::{ConfigDuration, ExpiresAs, Fields, Method, Words};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

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
    #[serde(default)]
    pub(crate) refused: Statuses,
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

impl Verb {
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Post => Method::POST,
            Self::Get => Method::GET,
            Self::Delete => Method::DELETE,
        }
    }
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

/// The 4xx statuses that mean a permanent refusal. Parsing rejects statuses of transient errors, such as 429.
#[derive(Default)]
pub(crate) struct Statuses(pub(crate) Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
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
        statuses.map(Self).ok_or_else(|| {
            let form = "a list of the HTTP statuses of a refused request: [400, 404]";
            de::Error::invalid_value(de::Unexpected::Other("value"), &form)
        })
    }
}
