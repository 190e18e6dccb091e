//! The client's credential and the endpoints for a login, a token request, a logout or an introspection.

use broker_core::{Context, Error, ErrorCode, Result, Secret, ServiceUrl};
use chrono::TimeDelta;

use super::OAuth2;
use super::config::Auth;
use super::endpoints::Endpoints;
use crate::discovery::Endpoint;
use crate::{ClientAuth, ClientKey, TokenEndpoint};

/// The lifetime of a token without `expires_in` that is not a JWT with `exp`.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// The client's credential and the endpoints for a login, a token request, a logout or an introspection.
pub(super) struct Session<'a> {
    pub(super) provider: &'a OAuth2,
    pub(super) context: &'a Context,
    pub(super) endpoints: Endpoints,
    credential: Credential,
    token_url: ServiceUrl,
}

enum Credential {
    None,
    Basic(Secret),
    Body(Secret),
    Key(Box<ClientKey>),
}

impl<'a> Session<'a> {
    /// Reads the configured client secret or private key. `instead` is the URL of a logout or introspection, which needs
    /// no token URL. For the other requests, fails if the token URL is unknown.
    pub(super) async fn new(
        provider: &'a OAuth2,
        context: &'a Context,
        endpoints: Endpoints,
        instead: Option<&ServiceUrl>,
    ) -> Result<Self> {
        let config = &provider.config;
        let missing = |key: &str| {
            Error::new(ErrorCode::SecretMissing, format!("the configuration key `{key}` is not set"))
        };
        let secret = async || {
            let source = config.client_secret.as_ref().ok_or_else(|| missing("client_secret"))?;
            source.resolve(context, "client_secret").await
        };
        let credential = match provider.auth {
            Auth::None => Credential::None,
            Auth::Basic => Credential::Basic(secret().await?),
            Auth::Body => Credential::Body(secret().await?),
            Auth::PrivateKeyJwt => {
                let source = config.private_key.as_ref().ok_or_else(|| missing("private_key"))?;
                let pem = source.resolve_lines(context, "private_key").await?;
                let audience = config.issuer.as_ref().map(|issuer| issuer.0.clone());
                let key = ClientKey::parse(&pem, config.algorithm, config.key_id.clone(), audience)?;
                Credential::Key(Box::new(key))
            }
        };
        let token_url = match instead {
            None => endpoints.require(provider, Endpoint::Token)?,
            Some(url) => endpoints.find(provider, Endpoint::Token)?.unwrap_or_else(|| url.clone()),
        };
        Ok(Self { provider, context, endpoints, credential, token_url })
    }

    /// Returns the token endpoint with the authenticated client.
    pub(super) fn token(&self) -> TokenEndpoint<'_> {
        let config = &self.provider.config;
        let id = config.client_id.as_deref().unwrap_or_default();
        let client = match &self.credential {
            Credential::None => ClientAuth::Public(id),
            Credential::Basic(secret) => ClientAuth::Basic(id, secret),
            Credential::Body(secret) => ClientAuth::Body(id, secret),
            Credential::Key(key) => ClientAuth::Key(id, key),
        };
        let default_life = config.life.map_or(DEFAULT_LIFETIME, |life| life.0);
        TokenEndpoint { url: &self.token_url, client, default_life, answer: config.fields.as_ref() }
    }
}
