//! The configuration keys of `kind = "oauth2"`, and the checks for each flow.

use broker_core::{
    ConfigDuration, Fields, Secret, SecretSource, ServiceUrl, Settings, SettingsError, Words, fingerprint,
    is_provider_name,
};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::AnswerFields;
use crate::authorization::loopback;
use crate::discovery::{Endpoint, IssuerUrl};
use crate::key::{Algorithm, Audience};

/// The default redirect URI. The URI names no port, so the listener uses a free port (RFC 8252 section 7.3).
const REDIRECT_URI: &str = "http://127.0.0.1/callback";

/// The parameters that `params` must not contain, because the flow or another configuration key sets them.
const OWN_PARAMS: &str = "\
     grant_type client_id client_secret client_assertion client_assertion_type scope audience \
     resource refresh_token device_code code code_verifier redirect_uri state username \
     password subject_token subject_token_type requested_token_type actor_token response_type \
     code_challenge code_challenge_method token token_type_hint";

/// The configuration table of a provider.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) flow: Option<Flow>,
    pub(super) issuer: Option<IssuerUrl>,
    token_url: Option<ServiceUrl>,
    device_url: Option<ServiceUrl>,
    authorization_url: Option<ServiceUrl>,
    revocation_url: Option<ServiceUrl>,
    introspection_url: Option<ServiceUrl>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<SecretSource>,
    pub(super) client_auth: Option<Auth>,
    pub(super) private_key: Option<SecretSource>,
    pub(super) key_id: Option<String>,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) assertion_audience: Option<Audience>,
    pub(super) audience: Option<String>,
    #[serde(default)]
    pub(super) resource: Words,
    #[serde(default)]
    pub(super) scope: Words,
    #[serde(default)]
    params: Fields,
    pub(super) fields: Option<AnswerFields>,
    #[serde(default)]
    pub(super) error_final: Words,
    redirect_uri: Option<ServiceUrl>,
    /// Whether a device login uses PKCE (RFC 7636); true by default.
    pub(super) pkce: Option<bool>,
    pub(super) username: Option<String>,
    pub(super) password: Option<SecretSource>,
    pub(super) from: Option<String>,
    pub(super) subject_token_type: Option<String>,
    pub(super) requested_token_type: Option<String>,
    pub(super) life: Option<ConfigDuration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Flow {
    Device,
    ClientCredentials,
    AuthorizationCode,
    RefreshToken,
    Password,
    TokenExchange,
}

impl Flow {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::Password => "password",
            Self::TokenExchange => "token_exchange",
        }
    }

    /// Whether a user logs in with this flow. If so, the record stores a refresh token.
    pub(super) fn has_user_login(self) -> bool {
        !matches!(self, Self::ClientCredentials | Self::TokenExchange)
    }

    /// Returns the endpoints that a login needs.
    pub(super) fn endpoints(self) -> &'static [Endpoint] {
        match self {
            Self::Device => &[Endpoint::Token, Endpoint::Device],
            Self::AuthorizationCode => &[Endpoint::Token, Endpoint::Authorization],
            _ => &[Endpoint::Token],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Auth {
    None,
    Basic,
    Body,
    PrivateKeyJwt,
}

impl Config {
    /// Checks that all keys of the flow are set. Returns the flow and the client authentication.
    pub(super) fn check(&self) -> Result<(Flow, Auth), SettingsError> {
        let flow = self.flow()?;
        let named = format!("`flow = \"{}\"`", flow.name());
        let needs = |what: &str| Err(SettingsError::new("flow", format!("{named} needs {what}")));
        let is_unknown = |endpoint: &&Endpoint| self.url(**endpoint).is_none() && self.issuer.is_none();
        if let Some(endpoint) = flow.endpoints().iter().find(is_unknown) {
            return needs(&format!("the URL `{}`, or the key `issuer` to discover the URL", endpoint.key()));
        }
        let without_client = matches!(flow, Flow::TokenExchange | Flow::Password);
        if self.client_id.as_ref().is_none_or(String::is_empty) && !without_client {
            return needs("`client_id`");
        }
        if flow == Flow::TokenExchange && self.from.is_none() {
            return needs("the key `from`, which names the provider whose token is exchanged");
        }
        for (key, is_set) in [("username", self.username.is_some()), ("password", self.password.is_some())] {
            if is_set && flow != Flow::Password {
                let message =
                    format!("{named} uses no username or password: only `flow = \"password\"` does");
                return Err(SettingsError::new(key, message));
            }
        }
        if self.pkce.is_some() && flow != Flow::Device {
            return Err(SettingsError::new("pkce", format!("{named} does not use this key: remove `pkce`")));
        }
        if self.assertion_audience.as_ref().is_some_and(|audience| audience.0 == "issuer")
            && self.issuer.is_none()
        {
            let message = "set `issuer`, or `assertion_audience` to \"token_url\", \"endpoint\" or a URL";
            return Err(SettingsError::new("assertion_audience", message));
        }
        self.check_tables()?;
        Ok((flow, self.auth(flow)?))
    }

    /// Checks the tables `params` and `fields`. Error messages omit parameter values, which may be secrets.
    fn check_tables(&self) -> Result<(), SettingsError> {
        if let Some(key) = self.params.0.keys().find(|key| OWN_PARAMS.split(' ').any(|own| own == *key)) {
            let message =
                format!("remove `{key}`: the flow or another configuration key sets this parameter");
            return Err(SettingsError::new("params", message));
        }
        let Some(field) = self.fields.as_ref().and_then(AnswerFields::empty) else { return Ok(()) };
        let form = "the path of a field in the token response: \"data.token\"";
        Err(SettingsError::expected(format!("fields.{field}"), form))
    }

    fn flow(&self) -> Result<Flow, SettingsError> {
        if let Some(from) = self.from.as_ref().filter(|from| !is_provider_name(from)) {
            return Err(SettingsError::new("from", format!("`{from}` is not a valid provider name")));
        }
        match (self.flow, &self.from) {
            (None | Some(Flow::TokenExchange), Some(_)) => Ok(Flow::TokenExchange),
            (Some(flow), None) => Ok(flow),
            (Some(flow), Some(_)) => Err(SettingsError::new(
                "from",
                format!("`from` cannot be used with `flow = \"{}\"`: remove `flow` or `from`", flow.name()),
            )),
            (None, None) => Err(SettingsError::new(
                "flow",
                "set `from` to another provider, or `flow` to one of \"device\", \"authorization_code\", \
                 \"client_credentials\", \"refresh_token\", \"password\"",
            )),
        }
    }

    fn auth(&self, flow: Flow) -> Result<Auth, SettingsError> {
        let default = match (&self.private_key, &self.client_secret) {
            (Some(_), _) => Auth::PrivateKeyJwt,
            (None, Some(_)) => Auth::Basic,
            (None, None) => Auth::None,
        };
        let auth = self.client_auth.unwrap_or(default);
        let key = if self.client_auth.is_some() { "client_auth" } else { "flow" };
        let (key, needed) = match auth {
            Auth::None if flow == Flow::ClientCredentials => {
                (key, "`client_secret` or `private_key` for the flow `client_credentials`")
            }
            Auth::Basic | Auth::Body if self.client_secret.is_none() => (key, "`client_secret`"),
            Auth::PrivateKeyJwt if self.private_key.is_none() => (key, "`private_key`"),
            _ if self.client_id.is_none() && auth != Auth::None => ("client_auth", "`client_id`"),
            _ => return Ok(auth),
        };
        Err(SettingsError::new(key, format!("the client authentication needs {needed}")))
    }

    /// Returns the configured URL of an endpoint.
    pub(super) fn url(&self, endpoint: Endpoint) -> Option<&ServiceUrl> {
        match endpoint {
            Endpoint::Token => self.token_url.as_ref(),
            Endpoint::Device => self.device_url.as_ref(),
            Endpoint::Authorization => self.authorization_url.as_ref(),
            Endpoint::Revocation => self.revocation_url.as_ref(),
            Endpoint::Introspection => self.introspection_url.as_ref(),
        }
    }

    pub(super) fn redirect_uri(&self) -> Result<ServiceUrl, SettingsError> {
        let url = Settings::url_or(self.redirect_uri.clone(), "redirect_uri", REDIRECT_URI)?;
        if loopback(&url).is_some() {
            return Ok(url);
        }
        let message = format!(
            "the redirect URI must be an address of this machine: {REDIRECT_URI}, with :PORT if the service requires one"
        );
        Err(SettingsError::new("redirect_uri", message))
    }

    /// Returns the configured `params`, with numbers and booleans converted to text.
    pub(super) fn params(&self) -> Result<Vec<(String, String)>, SettingsError> {
        let text = |(key, value): (&String, &Value)| match value {
            Value::String(text) => Ok((key.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok((key.clone(), value.to_string())),
            _ => Err(SettingsError::expected("params", format!("text for `{key}`"))),
        };
        self.params.0.iter().map(text).collect()
    }

    /// Returns a fingerprint of the settings that change the issued token, except the scope. `params` may contain
    /// secrets, so the record contains only the fingerprint.
    pub(super) fn fingerprint(&self) -> String {
        let types = (&self.subject_token_type, &self.requested_token_type);
        let all = serde_json::to_string(&(&self.params.0, &self.fields, types)).unwrap_or_default();
        fingerprint("request", &Secret::new(all), 64)
    }
}
