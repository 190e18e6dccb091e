//! The keys of `kind = "earthdaily"`, and what they and the sources outside come to.

use broker_core::{Env, SecretSource, ServiceUrl, Settings, SettingsError};
use serde::Deserialize;

use crate::sources::{self, Credentials};

/// The token URL of the new login (the default since 2025-03-10).
const AUTH_URL: &str = "https://api.earthdaily.com/account_management/v1/authentication/api_tokens/exchange";

/// The client id of the new login, where the API token is the secret.
const CLIENT_ID: &str = "EARTHDAILY_API_TOKEN";

const API_URL: &str = "https://api.earthdaily.com";

/// A provider of the kind; see `providers.toml` for what each key is.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    auth_url: Option<ServiceUrl>,
    client_id: Option<String>,
    client_secret: Option<SecretSource>,
    #[serde(default)]
    client_auth: Authentication,
    api_url: Option<ServiceUrl>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Authentication {
    #[default]
    Basic,
    Body,
}

/// Whose tokens, and where from.
pub(crate) struct Account {
    pub(crate) auth_url: ServiceUrl,
    pub(crate) client_id: String,
    /// `None` if no source has one.
    pub(crate) secret: Option<SecretSource>,
    pub(crate) client_auth: Authentication,
    /// The root of the API's host.
    pub(crate) api: ServiceUrl,
    /// In words for people.
    pub(crate) sources: Vec<String>,
}

impl Config {
    /// The configuration's own keys win over the set that is found outside; a file that a person names for this call
    /// wins over them.
    pub(crate) fn account(mut self, env: &dyn Env) -> Result<Account, SettingsError> {
        let named = env.file_of(sources::SECRET).is_some();
        let in_env =
            |source: &SecretSource| matches!(source, SecretSource::Env(name) if name == sources::SECRET);
        let own = self.client_secret.as_ref().is_some_and(|source| !in_env(source));
        if named && own {
            // The URLs beside a secret are for that secret.
            self = Self { client_auth: self.client_auth, ..Self::default() };
        }
        let set = match &self.client_secret {
            Some(source) if in_env(source) => Credentials::in_environment(env),
            Some(_) => None,
            None => sources::find(env).map_err(of_source)?,
        };
        let url = |own: Option<ServiceUrl>, variable, of: fn(&Credentials) -> Option<&String>| {
            let theirs = set.as_ref().and_then(|set| Some((of(set)?, &set.place)));
            match theirs.filter(|_| named || own.is_none()) {
                Some((text, place)) => ServiceUrl::parse(text).map(Some).map_err(|why| {
                    of_source(format!("{variable}, which goes with the secret from {place}: {why}"))
                }),
                None => Ok(own),
            }
        };
        let auth_url = url(self.auth_url, "EDS_AUTH_URL", |set| set.auth_url.as_ref())?;
        let api_url = url(self.api_url, "EDS_API_URL", |set| set.api_url.as_ref())?;
        let theirs = set.as_ref().and_then(|set| set.client_id.clone());
        let client_id = if named { theirs.or(self.client_id) } else { self.client_id.or(theirs) };
        let sources = match (&set, &self.client_secret) {
            (Some(set), _) => vec![set.place.clone()],
            (None, Some(source)) => vec![source.describe("client_secret")],
            (None, None) => sources::looked_for(env),
        };
        Ok(Account {
            auth_url: Settings::url_or(auth_url, "auth_url", AUTH_URL)?,
            client_id: client_id.unwrap_or_else(|| CLIENT_ID.to_owned()),
            secret: set.map(|set| SecretSource::Literal(set.secret)).or(self.client_secret),
            client_auth: self.client_auth,
            api: host_root(&Settings::url_or(api_url, "api_url", API_URL)?)?,
            sources,
        })
    }
}

/// What is wrong outside of the configuration.
fn of_source(message: String) -> SettingsError {
    SettingsError::new("", message)
}

/// Clients from 1.0 on name the host's root, older ones the whole STAC root.
fn host_root(url: &ServiceUrl) -> Result<ServiceUrl, SettingsError> {
    let root = url.as_str().split("/platform/v1").next().unwrap_or_default();
    let root = root.split('?').next().unwrap_or_default();
    ServiceUrl::parse(root).map_err(|message| SettingsError::new("api_url", message))
}
