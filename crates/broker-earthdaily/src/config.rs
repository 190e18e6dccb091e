//! The configuration keys of `kind = "earthdaily"`, and their precedence over EarthDaily's own settings.

use broker_core::tools::ToolLoginOrigin;
use broker_core::{SecretSource, ServiceUrl, Settings, SettingsError};
use serde::Deserialize;

use crate::sources::{self, Credentials, SECRET};

/// The token URL for API tokens (the service's default since 2025-03-10).
const AUTH_URL: &str = "https://api.earthdaily.com/account_management/v1/authentication/api_tokens/exchange";

/// The client ID for the user's API token. The API token itself is the client secret.
const CLIENT_ID: &str = "EARTHDAILY_API_TOKEN";

pub(crate) const API_URL: &str = "https://api.earthdaily.com";

pub(crate) const HOST: &str = "api.earthdaily.com";

/// The settings of a provider: see `providers.toml`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    auth_url: Option<ServiceUrl>,
    client_id: Option<String>,
    pub(crate) client_secret: Option<SecretSource>,
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

/// The provider's settings, merged from the configuration, environment variables and EarthDaily's own files.
pub(crate) struct Account {
    pub(crate) auth_url: ServiceUrl,
    pub(crate) client_id: String,
    /// The client secret, if any source contains one.
    pub(crate) secret: Option<SecretSource>,
    pub(crate) client_auth: Authentication,
    pub(crate) api: ServiceUrl,
    /// The files or variables with the secret, for messages. Without a secret, the searched places.
    pub(crate) sources: Vec<String>,
}

impl Config {
    /// Merges the settings. The dotenv file that the caller named wins, then configuration keys, then other sources.
    pub(crate) fn account(mut self, settings: &Settings<'_>) -> Result<Account, SettingsError> {
        let env = settings.env();
        let has_file = env.file_of(SECRET).is_some();
        let in_env = |source: &SecretSource| matches!(source, SecretSource::Env(name) if name == SECRET);
        let configured = self.client_secret.as_ref().is_some_and(|source| !in_env(source));
        if has_file && configured {
            // Drops the configured URLs, which must not receive the secret of the dotenv file.
            self = Self { client_auth: self.client_auth, ..Self::default() };
        }
        let set = match &self.client_secret {
            Some(source) if in_env(source) => Credentials::in_environment(env),
            Some(_) => Ok(None),
            None => sources::find(env),
        };
        let set = set.map_err(|message| SettingsError::new("", message))?;
        if let Some(set) = &set {
            let invalid =
                |why| SettingsError::new("", format!("cannot use {SECRET} from {}: {why}", set.place));
            set.secret.check_line().map_err(invalid)?;
            if set.origin != ToolLoginOrigin::Environment {
                settings.check_secret_in(&set.place)?;
            }
        }
        let url = |own: Option<ServiceUrl>, variable, of: fn(&Credentials) -> Option<&String>| {
            let found = set.as_ref().and_then(|set| Some((of(set)?, &set.place)));
            match found.filter(|_| has_file || own.is_none()) {
                Some((text, place)) => ServiceUrl::parse(text).map(Some).map_err(|why| {
                    let message =
                        format!("invalid URL {variable}, set together with the secret in {place}: {why}");
                    SettingsError::new("", message)
                }),
                None => Ok(own),
            }
        };
        let auth_url = url(self.auth_url, "EDS_AUTH_URL", |set| set.auth_url.as_ref())?;
        let api_url = url(self.api_url, "EDS_API_URL", |set| set.api_url.as_ref())?;
        let found = set.as_ref().and_then(|set| set.client_id.clone());
        let client_id = if has_file { found.or(self.client_id) } else { self.client_id.or(found) };
        let sources = match (&set, &self.client_secret) {
            (Some(set), _) => vec![set.place.clone()],
            (None, Some(source)) => vec![source.describe("client_secret")],
            (None, None) => sources::searched(env),
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

/// Removes `/platform/v1…` from the API URL. EarthDaily's clients before version 1.0 use a URL with that path.
fn host_root(url: &ServiceUrl) -> Result<ServiceUrl, SettingsError> {
    let root = url.as_str().split("/platform/v1").next().and_then(|root| root.split('?').next());
    ServiceUrl::parse(root.unwrap_or_default()).map_err(|message| SettingsError::new("api_url", message))
}
