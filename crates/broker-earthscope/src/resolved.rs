//! The configuration keys of `kind = "earthscope"`, merged with the settings of EarthScope's SDK and command `es`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use broker_core::{
    Derived, Issuer, LoginFile, LoginMethod, ProviderInfo, Scopes, SecretSource, ServiceUrl, Settings,
    SettingsError, SettingsProblem, fingerprint,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::sources::{Layer, Sources, is_url, sdk_home, tools_error, variables};
use crate::tokens_file::TokensFile;
use crate::{API_URL, DOMAIN, EarthScope, KIND};

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

pub(crate) const AUDIENCE: &str = "https://api.earthscope.org";

/// The client ID of EarthScope's SDK, which is a public client.
pub(crate) const CLIENT_ID: &str = "b9DtAFBd6QvMg761vI3YhYquNZbJX5G0";

pub(crate) const SCOPE: &str = "offline_access";

/// The hosts to which programs may send the access token.
const HOSTS: [&str; 3] = ["earthscope.org", "api.earthscope.org", "*.earthscope.org"];

/// The value of the field `flow` of [`Issuer`] for a login by device code.
const DEVICE_CODE: &str = "device_code";

pub(crate) struct ResolvedSettings {
    config: Config,
    layers: Vec<Layer>,
    /// The source that contains the client secret or login: any client secret wins, else any login. The URLs of the other
    /// sources are then ignored, because the secret must not be sent to them.
    secret_layer: Option<Layer>,
    client_secret: Option<SecretSource>,
    tokens_file: Option<PathBuf>,
}

impl ResolvedSettings {
    pub(crate) fn from(config: Config, settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let env = settings.env();
        // The environment contains the login of one user, so only the provider named `earthscope` uses it.
        let named = settings.name() == KIND.name;
        let variables = if named { variables(env, config.profile.is_some())? } else { BTreeMap::new() };
        let profile = config.profile.clone().or_else(|| variables.get("ES_PROFILE").cloned());
        // Only a provider named `earthscope`, or with the key `profile`, reads the files of EarthScope's tools.
        let sources = (named || profile.is_some()).then(|| Sources {
            env,
            home: sdk_home(config.sdk_home.as_deref(), env),
            profile: profile.unwrap_or_else(|| "default".to_owned()),
            all: named,
            variables,
        });
        let mut layers = sources.as_ref().map_or_else(|| Ok(Vec::new()), Sources::layers)?;
        if config.client_secret.is_some() {
            layers.clear();
        }
        let with_secret = layers.iter().find(|layer| layer.client_secret().is_some());
        let with_login = || layers.iter().find(|layer| layer.first && layer.login().is_some());
        let secret_layer = with_secret.or_else(with_login).cloned();
        let found = || secret_layer.as_ref()?.client_secret().map(SecretSource::Literal);
        let client_secret = config.client_secret.clone().or_else(found);
        let tokens_file = sources.and_then(|sources| sources.tokens_file());
        Ok(Self { config, layers, secret_layer, client_secret, tokens_file })
    }

    /// Reads a setting from the source that has the secret or login, or else from the first source with the setting.
    fn setting<T>(&self, read: impl Fn(&Layer) -> Option<T>) -> Option<T> {
        self.secret_layer.as_ref().map_or_else(|| self.layers.iter().find_map(&read), &read)
    }

    /// Reads a setting that is no URL from the first source with the setting, as the SDK does.
    fn text(&self, own: Option<&String>, key: &str, usual: &str) -> String {
        let found = || self.layers.iter().find_map(|layer| layer.text(key).map(str::to_owned));
        own.cloned().or_else(found).unwrap_or_else(|| usual.to_owned())
    }

    fn url(&self, own: Option<&ServiceUrl>, key: &str, usual: &str) -> Result<ServiceUrl, SettingsError> {
        let found = self.setting(|layer| Some((layer.origin.clone(), layer.text(key)?.to_owned())));
        match found.filter(|_| own.is_none()) {
            Some((origin, text)) => {
                ServiceUrl::parse(&text).map_err(|why| tools_error(format!("{origin}: {why}")))
            }
            None => Settings::url_or(own.cloned(), key, usual),
        }
    }

    pub(crate) fn into_provider(self, settings: &Settings<'_>) -> Result<EarthScope, SettingsError> {
        self.check_domain()?;
        if let (Some(layer), Some(SecretSource::Literal(secret))) = (&self.secret_layer, &self.client_secret)
        {
            let invalid = |why| tools_error(format!("cannot use client_secret from {}: {why}", layer.origin));
            secret.check_line().map_err(invalid)?;
        }
        let domain = self.url(self.config.domain.as_ref(), "domain", DOMAIN)?;
        let api_url = self.url(self.config.api_url.as_ref(), "api_url", API_URL)?;
        let token_url = domain.join("oauth/token");
        let scope = self.config.scope.clone().or_else(|| self.layers.iter().find_map(Layer::scope));
        let client_id = self.text(self.config.client_id.as_ref(), "client_id", CLIENT_ID);
        let audience = self.text(self.config.audience.as_ref(), "audience", AUDIENCE);
        let flow = match (&self.client_secret, &self.secret_layer) {
            (Some(_), _) => "client_credentials",
            (None, Some(_)) => "refresh_token",
            (None, None) => DEVICE_CODE,
        };
        let issuer = Issuer {
            client_id: Some(client_id.clone()),
            audience: Some(audience.clone()),
            secret_fingerprint: self.secret_fingerprint(&token_url, settings),
            environment: settings.bound(),
            ..Issuer::new(KIND.name, flow, token_url.as_str())
        };
        if let Some(layer) = self.secret_layer.as_ref().filter(|layer| layer.is_file) {
            settings.check_secret_in(&layer.origin)?;
        }
        let domain_is_own = self.domain_is_own();
        let shares = self.config.share.unwrap_or(true) && issuer.flow == DEVICE_CODE;
        let file = self.tokens_file.clone().filter(|_| shares).map(|path| {
            let (issuer, domain) = (issuer.clone(), domain.clone());
            // A login without an issuer may be of another domain than the one of the environment.
            let domain_is_own = domain_is_own && !settings.is_from_environment("domain");
            Arc::new(TokensFile { path, issuer, domain, domain_is_own })
        });
        let mut hosts: Vec<_> = HOSTS.iter().map(|&host| host.to_owned()).collect();
        // The shared login file does not say for which API URL of the environment the login is.
        let foreign =
            file.is_some() && settings.is_from_environment("api_url") && api_url.host() != domain.host();
        hosts.extend(self.config.api_url.as_ref().filter(|_| !foreign).map(ServiceUrl::host));
        let settings_logins = self.settings_logins(&domain, !settings.has_targets());
        let mut info = ProviderInfo::new(issuer);
        info.variable = "EARTHSCOPE_TOKEN".into();
        info.hosts = hosts;
        info.requests.derived = &[Derived::AWS];
        if self.client_secret.is_none() {
            info.requests.scopes = Scopes::Any;
            info.logins = vec![LoginMethod::Interactive, LoginMethod::RefreshToken];
        }
        info.sources = self.sources(file.as_deref(), &settings_logins);
        info.login_file = file.map(|file| file as Arc<dyn LoginFile>);
        Ok(EarthScope {
            client_id,
            audience,
            scope: scope.unwrap_or_else(|| SCOPE.to_owned()),
            client_secret: self.client_secret,
            domain,
            domain_is_own,
            token_url,
            api_url,
            info,
            settings_logins,
        })
    }

    /// Whether the domain is the default, or is set in the configuration or in `~/.earthscope/config.toml`.
    fn domain_is_own(&self) -> bool {
        self.config.domain.is_some()
            || self.setting(|layer| layer.text("domain").map(|_| layer.in_home)).unwrap_or(true)
    }

    /// Fails if one source sets a secret and only another source sets a domain, because the secret may be for another
    /// domain.
    fn check_domain(&self) -> Result<(), SettingsError> {
        if self.config.domain.is_none()
            && let Some(secret) = self.secret_layer.as_ref().filter(|layer| layer.text("domain").is_none())
            && let Some(other) = self.layers.iter().find(|layer| layer.text("domain").is_some())
            && !other.text("domain").is_some_and(|domain| is_url(domain, DOMAIN))
        {
            let error =
                tools_error(format!("{} sets a secret, but {} sets the domain", secret.origin, other.origin));
            let hint = "set `domain` of this provider in the configuration file".to_owned();
            return Err(SettingsError { problem: SettingsProblem::MixedSources(hint), ..error });
        }
        Ok(())
    }

    /// Returns the sources with a login, in order of precedence.
    fn settings_logins(&self, domain: &ServiceUrl, from_files: bool) -> Vec<Layer> {
        match (&self.client_secret, &self.secret_layer) {
            (Some(_), _) => return Vec::new(),
            (None, Some(layer)) => return vec![layer.clone()],
            (None, None) => {}
        }
        // A login is only used with the domain of its own source, or with a domain in the configuration.
        let fits = |layer: &&Layer| {
            self.config.domain.is_some() || is_url(layer.text("domain").unwrap_or(DOMAIN), domain.as_str())
        };
        let layers = self.layers.iter().filter(fits).filter(|layer| from_files || !layer.is_file);
        layers.filter(|layer| layer.login().is_some()).cloned().collect()
    }

    /// Fingerprints the client secret or the login's token. A new fingerprint may mean another account.
    fn secret_fingerprint(&self, token_url: &ServiceUrl, settings: &Settings<'_>) -> Option<String> {
        if let Some(secret) = &self.client_secret {
            return secret.fingerprint(token_url.as_str(), settings.env());
        }
        Some(fingerprint(token_url.as_str(), &self.secret_layer.as_ref()?.login()?, 64))
    }

    fn sources(&self, file: Option<&TokensFile>, logins: &[Layer]) -> Vec<String> {
        if let Some(layer) = &self.secret_layer {
            return vec![layer.origin.clone()];
        }
        if let Some(own) = &self.config.client_secret {
            return vec![own.describe("client_secret")];
        }
        let file = file.map(|file| file.path.display().to_string());
        let origin = file.unwrap_or_else(|| "the broker's own record".to_owned());
        [origin].into_iter().chain(logins.iter().map(|login| login.origin.clone())).collect()
    }
}
