//! The configuration keys of `kind = "earthscope"`.

use std::path::PathBuf;

use broker_core::{SecretSource, ServiceUrl};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// The settings of a provider: see `providers.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) domain: Option<ServiceUrl>,
    pub(crate) audience: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) client_secret: Option<SecretSource>,
    pub(crate) scope: Option<String>,
    pub(crate) api_url: Option<ServiceUrl>,
    pub(crate) profile: Option<String>,
    pub(crate) sdk_home: Option<PathBuf>,
    #[serde(default, deserialize_with = "switch")]
    pub(crate) share: Option<bool>,
}

/// Reads a boolean. The value of an environment variable is a text, such as `"true"`.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    let switch = match Value::deserialize(deserializer)? {
        Value::Bool(on) => Some(on),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let wrong = de::Unexpected::Other("value");
    switch.map(Some).ok_or_else(|| de::Error::invalid_value(wrong, &"true or false"))
}

pub(crate) const API_URL: &str = "https://api.earthscope.org";

pub(crate) const AUDIENCE: &str = "https://api.earthscope.org";

/// The client ID of EarthScope's SDK, which is a public client.
pub(crate) const CLIENT_ID: &str = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0";

pub(crate) const SCOPE: &str = "offline_access";
