//! Resolves settings: the provider's own keys, then those of EarthScope's own tools.

use std::path::PathBuf;
use std::sync::Arc;

use broker_core::{Issuer, SecretSource, ServiceUrl, Settings, SettingsError, fingerprint, platform};

use crate::config::{AUDIENCE, CLIENT_ID, Config, SCOPE};
use crate::tokens_file::TokensFile;
use crate::tools::{Layer, SettingsLogin, Tools, tools_error};
use crate::{DOMAIN, EarthScope, KIND};

/// The service's API.
const API_URL: &str = "https://api.earthscope.org";

/// The service's hosts, to which bearer tokens may be sent.
const HOSTS: [&str; 3] = ["earthscope.org", "api.earthscope.org", "*.earthscope.org"];

/// The flow of a user's login.
const DEVICE_CODE: &str = "device_code";

/// The settings of a provider, before its URLs are parsed.
pub(crate) struct ResolvedSettings {
    config: Config,
    layers: Vec<Layer>,
    /// The layer with the secret, if the provider's own keys have none. Other layers are then ignored: a URL of one layer
    /// is never joined with a secret of another.
    secret_layer: Option<usize>,
    client_secret: Option<SecretSource>,
    settings_login: Option<SettingsLogin>,
    tokens_file: Option<PathBuf>,
}

impl ResolvedSettings {
    pub(crate) fn from(config: Config, settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let env = settings.env();
        // Of several providers, only the one named like the kind uses the environment: it has the login of one user.
        let named = settings.name() == KIND.name;
        let variable = || env.vars("").into_iter().find(|(name, _)| name.eq_ignore_ascii_case("ES_PROFILE"));
        let env_profile =
            if named { variable().map(|(_, value)| value).filter(|value| !value.is_empty()) } else { None };
        let profile = config.profile.clone().or(env_profile);
        let home = match &config.sdk_home {
            Some(path) => Some(platform::expand(path, env)),
            None => env.home().map(|home| home.join(".earthscope")),
        };
        // Other providers of the kind use the tools' files only with a `profile`.
        let tools = (named || profile.is_some()).then(|| Tools {
            env,
            home: home.filter(|home| home.is_absolute()),
            profile: profile.unwrap_or_else(|| "default".to_owned()),
            all: named,
        });
        let layers = tools.as_ref().map_or_else(|| Ok(Vec::new()), Tools::layers)?;
        let tokens_file = tools.and_then(|tools| tools.tokens_file());
        let mut resolved = Self {
            client_secret: config.client_secret.clone(),
            config,
            layers,
            secret_layer: None,
            settings_login: None,
            tokens_file,
        };
        resolved.find_secret();
        Ok(resolved)
    }

    /// Finds the secret: the provider's own keys win, then a client secret, then a user's login.
    fn find_secret(&mut self) {
        if self.client_secret.is_some() {
            self.layers.clear();
            return;
        }
        let secret = |layer: &Layer| layer.text("client_secret").map(str::to_owned);
        if let Some((index, secret)) =
            self.layers.iter().enumerate().find_map(|(index, layer)| Some((index, secret(layer)?)))
        {
            self.client_secret = Some(SecretSource::Literal(broker_core::Secret::new(secret)));
            self.secret_layer = Some(index);
            return;
        }
        let login = |layer: &Layer| layer.login().filter(|_| layer.first);
        if let Some((index, found)) =
            self.layers.iter().enumerate().find_map(|(index, layer)| Some((index, login(layer)?)))
        {
            self.settings_login = Some(found);
            self.secret_layer = Some(index);
        }
    }

    /// Reads a setting from the first layer that is not ignored and has it.
    fn setting<T>(&self, read: impl Fn(&Layer) -> Option<T>) -> Option<T> {
        let used = |(index, layer)| self.secret_layer.is_none_or(|secret| secret == index).then_some(layer);
        self.layers.iter().enumerate().filter_map(used).find_map(read)
    }

    fn text(&self, own: Option<&String>, key: &str, usual: &str) -> String {
        let found = || self.setting(|layer| layer.text(key).map(str::to_owned));
        own.cloned().or_else(found).unwrap_or_else(|| usual.to_owned())
    }

    fn url(&self, own: Option<&ServiceUrl>, key: &str, usual: &str) -> Result<ServiceUrl, SettingsError> {
        let found = self.setting(|layer| {
            let text = if key == "api_url" { layer.api_url() } else { layer.text(key) };
            Some((layer.origin.clone(), text?.to_owned()))
        });
        match (own, found) {
            (Some(own), _) => Ok(own.clone()),
            (None, Some((origin, text))) => {
                ServiceUrl::parse(&text).map_err(|why| tools_error(format!("{origin}: {why}")))
            }
            (None, None) => Settings::url_or(None, key, usual),
        }
    }

    pub(crate) fn into_provider(self, settings: &Settings<'_>) -> Result<EarthScope, SettingsError> {
        self.check_domain()?;
        let domain = self.url(self.config.domain.as_ref(), "domain", DOMAIN)?;
        let api_url = self.url(self.config.api_url.as_ref(), "api_url", API_URL)?;
        let token_url = domain.join("oauth/token");
        let scope = self.config.scope.clone().or_else(|| self.setting(Layer::scope));
        let issuer = self.issuer(&token_url, settings);
        let domain_is_own = self.domain_is_own();
        let shares = self.config.share.unwrap_or(true) && issuer.flow == DEVICE_CODE;
        let file = self.tokens_file.clone().filter(|_| shares).map(|path| {
            let (issuer, domain) = (issuer.clone(), domain.clone());
            Arc::new(TokensFile { path, issuer, domain, domain_is_own })
        });
        let mut hosts: Vec<_> = HOSTS.iter().map(|&host| host.to_owned()).collect();
        hosts.extend(self.config.api_url.as_ref().map(ServiceUrl::host));
        let settings_logins = self.settings_logins(issuer.flow == DEVICE_CODE);
        Ok(EarthScope {
            sources: self.sources(file.as_deref(), &settings_logins),
            client_id: self.text(self.config.client_id.as_ref(), "client_id", CLIENT_ID),
            audience: self.text(self.config.audience.as_ref(), "audience", AUDIENCE),
            scope: scope.unwrap_or_else(|| SCOPE.to_owned()),
            client_secret: self.client_secret,
            domain,
            domain_is_own,
            token_url,
            api_url,
            issuer,
            settings_logins,
            file,
            hosts,
        })
    }

    fn issuer(&self, token_url: &ServiceUrl, settings: &Settings<'_>) -> Issuer {
        let flow = match (&self.client_secret, &self.settings_login) {
            (Some(_), _) => "client_credentials",
            (None, Some(_)) => "refresh_token",
            (None, None) => DEVICE_CODE,
        };
        Issuer {
            kind: KIND.name.to_owned(),
            flow: flow.to_owned(),
            endpoint: token_url.as_str().to_owned(),
            client_id: Some(self.text(self.config.client_id.as_ref(), "client_id", CLIENT_ID)),
            audience: Some(self.text(self.config.audience.as_ref(), "audience", AUDIENCE)),
            secret_fingerprint: self.secret_fingerprint(token_url, settings),
        }
    }

    /// Whether the domain is EarthScope's or in the user's own files: others may set the environment.
    fn domain_is_own(&self) -> bool {
        self.config.domain.is_some()
            || self.setting(|layer| layer.text("domain").map(|_| layer.in_home)).unwrap_or(true)
    }

    /// Refuses a secret without a domain if another layer names a domain: the secret may belong to it, and must not go to
    /// EarthScope's.
    fn check_domain(&self) -> Result<(), SettingsError> {
        let secret = self.secret_layer.and_then(|index| self.layers.get(index));
        let Some(secret) =
            secret.filter(|layer| self.config.domain.is_none() && layer.text("domain").is_none())
        else {
            return Ok(());
        };
        match self.layers.iter().find(|layer| layer.text("domain").is_some()) {
            Some(other) => Err(tools_error(format!(
                "{} sets a secret, but {} sets the domain: set `domain` of this provider in the configuration",
                secret.origin, other.origin
            ))),
            None => Ok(()),
        }
    }

    /// Returns the logins in settings: the one that wins over the stored login, or those that are used without one.
    fn settings_logins(&self, by_device_code: bool) -> Vec<SettingsLogin> {
        if let Some(login) = &self.settings_login {
            return vec![login.clone()];
        }
        // A login is used for the domain of its own layer, of the provider's own keys, or EarthScope's.
        let domain = self.layers.iter().position(|layer| layer.text("domain").is_some());
        let used = |index| {
            by_device_code && (self.config.domain.is_some() || domain.is_none_or(|domain| domain == index))
        };
        let layers = self.layers.iter().enumerate().filter(|(index, _)| used(*index));
        layers.filter_map(|(_, layer)| layer.login()).collect()
    }

    /// Returns the fingerprint of the secret: another secret is another account.
    fn secret_fingerprint(&self, token_url: &ServiceUrl, settings: &Settings<'_>) -> Option<String> {
        if let Some(secret) = &self.client_secret {
            return secret.fingerprint(token_url.as_str(), settings.env());
        }
        let login = self.settings_login.as_ref()?;
        let secret = login.refresh_token.as_ref().or(login.access_token.as_ref())?;
        Some(fingerprint(token_url.as_str(), secret, 64))
    }

    fn sources(&self, file: Option<&TokensFile>, logins: &[SettingsLogin]) -> Vec<String> {
        if let Some(layer) = self.secret_layer.and_then(|index| self.layers.get(index)) {
            return vec![layer.origin.clone()];
        }
        if let Some(own) = &self.config.client_secret {
            return vec![format!("client_secret = {own:?}")];
        }
        let file = file.map(|file| file.path.display().to_string());
        let origin = file.unwrap_or_else(|| "the broker's own record".to_owned());
        [origin].into_iter().chain(logins.iter().map(|login| login.origin.clone())).collect()
    }
}
