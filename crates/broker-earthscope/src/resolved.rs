//! Which settings count: the provider's own keys, then those of EarthScope's own tools.

use std::path::PathBuf;
use std::sync::Arc;

use broker_core::{Issuer, SecretSource, ServiceUrl, Settings, SettingsError, fingerprint, platform};

use crate::config::{AUDIENCE, CLIENT_ID, Config, SCOPE};
use crate::tokens_file::TokensFile;
use crate::tools::{Given, Layer, Tools, of_tools};
use crate::{DOMAIN, EarthScope, KIND};

/// Where the service's other endpoints are.
const API_URL: &str = "https://api.earthscope.org";

/// Bearer tokens go only there (facts of the service), and where the configuration says.
const HOSTS: [&str; 3] = ["earthscope.org", "api.earthscope.org", "*.earthscope.org"];

/// The flow of a person who logs in.
const PERSONS: &str = "device_code";

/// What a provider is made of.
pub(crate) struct ResolvedSettings {
    config: Config,
    layers: Vec<Layer>,
    /// The layer with the secret, if the provider's own keys have none. Then settings of no other layer count: a URL of
    /// one is never joined with a secret of another.
    of_secret: Option<usize>,
    client_secret: Option<SecretSource>,
    given: Option<Given>,
    tokens_file: Option<PathBuf>,
}

impl ResolvedSettings {
    pub(crate) fn from(config: Config, settings: &Settings<'_>) -> Result<Self, SettingsError> {
        let env = settings.env();
        // The environment has one person's login: of several providers only the one named as the kind uses it.
        let named = settings.name() == KIND.name;
        let variable = || env.vars("").into_iter().find(|(name, _)| name.eq_ignore_ascii_case("ES_PROFILE"));
        let of_env =
            if named { variable().map(|(_, value)| value).filter(|value| !value.is_empty()) } else { None };
        let profile = config.profile.clone().or(of_env);
        let home = match &config.sdk_home {
            Some(path) => Some(platform::expand(path, env)),
            None => env.home().map(|home| home.join(".earthscope")),
        };
        // Another provider of the kind has a place of its own, unless a profile is named for it.
        let tools = (named || profile.is_some()).then(|| Tools {
            env,
            home: home.filter(|home| home.is_absolute()),
            profile: profile.unwrap_or_else(|| "default".to_owned()),
            all: named,
        });
        let layers = tools.as_ref().map_or_else(|| Ok(Vec::new()), Tools::layers)?;
        let tokens_file = tools.and_then(|tools| tools.tokens_file());
        let mut chosen = Self {
            client_secret: config.client_secret.clone(),
            config,
            layers,
            of_secret: None,
            given: None,
            tokens_file,
        };
        chosen.find_secret();
        Ok(chosen)
    }

    /// A machine's secret goes before a person's login, and the provider's own keys before all.
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
            self.of_secret = Some(index);
            return;
        }
        let first = |layer: &Layer| layer.given().filter(|_| layer.first);
        if let Some((index, given)) =
            self.layers.iter().enumerate().find_map(|(index, layer)| Some((index, first(layer)?)))
        {
            self.given = Some(given);
            self.of_secret = Some(index);
        }
    }

    /// What the layers that count say.
    fn setting<T>(&self, read: impl Fn(&Layer) -> Option<T>) -> Option<T> {
        let counts = |(index, layer)| self.of_secret.is_none_or(|secret| secret == index).then_some(layer);
        self.layers.iter().enumerate().filter_map(counts).find_map(read)
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
                ServiceUrl::parse(&text).map_err(|why| of_tools(format!("{origin}: {why}")))
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
        let shares = self.config.share.unwrap_or(true) && issuer.flow == PERSONS;
        let file = self.tokens_file.clone().filter(|_| shares).map(|path| {
            let (issuer, domain) = (issuer.clone(), domain.clone());
            Arc::new(TokensFile { path, issuer, domain, domain_is_own })
        });
        let mut hosts: Vec<_> = HOSTS.iter().map(|&host| host.to_owned()).collect();
        hosts.extend(self.config.api_url.as_ref().map(ServiceUrl::host));
        let given = self.given(issuer.flow == PERSONS);
        Ok(EarthScope {
            sources: self.sources(file.as_deref(), &given),
            client_id: self.text(self.config.client_id.as_ref(), "client_id", CLIENT_ID),
            audience: self.text(self.config.audience.as_ref(), "audience", AUDIENCE),
            scope: scope.unwrap_or_else(|| SCOPE.to_owned()),
            client_secret: self.client_secret,
            domain,
            domain_is_own,
            token_url,
            api_url,
            issuer,
            given,
            file,
            hosts,
        })
    }

    fn issuer(&self, token_url: &ServiceUrl, settings: &Settings<'_>) -> Issuer {
        let flow = match (&self.client_secret, &self.given) {
            (Some(_), _) => "client_credentials",
            (None, Some(_)) => "refresh_token",
            (None, None) => PERSONS,
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

    /// Whether the domain is EarthScope's, or the person's own choice: the environment may be somebody else's.
    fn domain_is_own(&self) -> bool {
        self.config.domain.is_some()
            || self.setting(|layer| layer.text("domain").map(|_| layer.of_home)).unwrap_or(true)
    }

    /// A secret that comes without a domain is not sent to EarthScope's where another place names one: it may be meant
    /// for that, and must not go there.
    fn check_domain(&self) -> Result<(), SettingsError> {
        let secret = self.of_secret.and_then(|index| self.layers.get(index));
        let Some(secret) =
            secret.filter(|layer| self.config.domain.is_none() && layer.text("domain").is_none())
        else {
            return Ok(());
        };
        match self.layers.iter().find(|layer| layer.text("domain").is_some()) {
            Some(other) => Err(of_tools(format!(
                "{} has a secret, and the domain is in another place ({}): set `domain` for this provider",
                secret.origin, other.origin
            ))),
            None => Ok(()),
        }
    }

    /// The logins in settings: the one that goes before all others, or those that are used where no other is.
    fn given(&self, persons: bool) -> Vec<Given> {
        if let Some(given) = &self.given {
            return vec![given.clone()];
        }
        // Each goes to the domain of its own place, of the provider's own keys, or to EarthScope's.
        let domain = self.layers.iter().position(|layer| layer.text("domain").is_some());
        let goes =
            |index| persons && (self.config.domain.is_some() || domain.is_none_or(|domain| domain == index));
        let layers = self.layers.iter().enumerate().filter(|(index, _)| goes(*index));
        layers.filter_map(|(_, layer)| layer.given()).collect()
    }

    /// What tells one secret from the next: another is another account.
    fn secret_fingerprint(&self, token_url: &ServiceUrl, settings: &Settings<'_>) -> Option<String> {
        if let Some(secret) = &self.client_secret {
            return secret.fingerprint(token_url.as_str(), settings.env());
        }
        let given = self.given.as_ref()?;
        let secret = given.refresh_token.as_ref().or(given.access_token.as_ref())?;
        Some(fingerprint(token_url.as_str(), secret, 64))
    }

    fn sources(&self, file: Option<&TokensFile>, given: &[Given]) -> Vec<String> {
        if let Some(layer) = self.of_secret.and_then(|index| self.layers.get(index)) {
            return vec![layer.origin.clone()];
        }
        if let Some(own) = &self.config.client_secret {
            return vec![format!("client_secret = {own:?}")];
        }
        let file = file.map(|file| file.path.display().to_string());
        let place = file.unwrap_or_else(|| "the broker's own record".to_owned());
        [place].into_iter().chain(given.iter().map(|given| given.origin.clone())).collect()
    }
}
