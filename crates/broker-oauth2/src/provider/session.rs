//! The client's credential and the endpoints for a login, a token request, a logout or an introspection.

use broker_core::{Error, ErrorCode, FinalCodes, Operation, Result, Secret, ServiceUrl};
use chrono::TimeDelta;

use super::OAuth2;
use super::config::Auth;
use super::endpoints::Endpoints;
use crate::answer::STANDARD_FIELDS;
use crate::discovery::Endpoint;
use crate::{BasicSpelling, ClientAuth, ClientKey, TokenEndpoint};

/// The lifetime of a token without `expires_in` that is not a JWT with `exp`.
const DEFAULT_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// The client's credential and the endpoints for a login, a token request, a logout or an introspection.
pub(super) struct Session<'a> {
    pub(super) provider: &'a OAuth2,
    pub(super) operation: &'a Operation,
    pub(super) endpoints: Endpoints,
    credential: Credential,
    pub(super) basic: BasicSpelling,
    token_url: ServiceUrl,
}

enum Credential {
    None,
    Basic(Secret),
    Body(Secret),
    Key(Box<ClientKey>),
}

impl<'a> Session<'a> {
    /// Reads the configured client secret or private key. `instead` is the endpoint of a logout or introspection, which
    /// needs no token URL. For the other requests, fails if the token URL is unknown.
    pub(super) async fn new(
        provider: &'a OAuth2,
        operation: &'a Operation,
        endpoints: Endpoints,
        basic: BasicSpelling,
        instead: Option<(Endpoint, &ServiceUrl)>,
    ) -> Result<Self> {
        let config = &provider.config;
        let missing = |key: &str| {
            Error::new(ErrorCode::SecretMissing, format!("the configuration key `{key}` is not set"))
        };
        let secret = async || {
            let source = config.client_secret.as_ref().ok_or_else(|| missing("client_secret"))?;
            source.resolve(operation.context(), "client_secret").await
        };
        let endpoint = instead.map_or(Endpoint::Token, |(endpoint, _)| endpoint);
        let credential = match endpoints.client_auth(provider, endpoint)? {
            Auth::None => Credential::None,
            Auth::Basic => Credential::Basic(secret().await?),
            Auth::Body => Credential::Body(secret().await?),
            Auth::PrivateKeyJwt => {
                let source = config.private_key.as_ref().ok_or_else(|| missing("private_key"))?;
                let pem = source.resolve_lines(operation.context(), "private_key").await?;
                let (key_id, audience) = (config.key_id.clone(), config.assertion_audience.clone());
                let issuer = config.issuer.as_ref().map(|issuer| issuer.0.clone());
                Credential::Key(Box::new(ClientKey::parse(&pem, config.algorithm, key_id, audience, issuer)?))
            }
        };
        let token_url = match instead {
            None => endpoints.require(provider, Endpoint::Token)?,
            Some((_, url)) => endpoints.find(provider, Endpoint::Token)?.unwrap_or_else(|| url.clone()),
        };
        Ok(Self { provider, operation, endpoints, credential, basic, token_url })
    }

    /// Returns the token endpoint with the authenticated client.
    pub(super) fn token(&self) -> TokenEndpoint<'_> {
        let config = &self.provider.config;
        let id = config.client_id.as_deref().unwrap_or_default();
        let client = match &self.credential {
            Credential::None => ClientAuth::Public(id),
            Credential::Basic(secret) => ClientAuth::Basic(id, secret, &self.basic),
            Credential::Body(secret) => ClientAuth::Body(id, secret),
            Credential::Key(key) => ClientAuth::Key(id, key),
        };
        let default_life = config.life.map_or(DEFAULT_LIFETIME, |life| life.0);
        let final_codes = FinalCodes::oauth(&config.error_final.0);
        let is_life_assumed = config.life.is_none() && !self.provider.has_password();
        let fields = config.fields.as_ref().unwrap_or(&STANDARD_FIELDS);
        TokenEndpoint {
            operation: self.operation,
            url: &self.token_url,
            client,
            default_life,
            is_life_assumed,
            fields,
            final_codes,
        }
    }
}
