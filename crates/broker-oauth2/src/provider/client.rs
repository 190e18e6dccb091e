//! The client ID with the client's secret or private key.

use broker_core::{Context, Error, ErrorCode, Result, Secret, ServiceUrl};

use super::OAuth2;
use super::config::Auth;
use crate::{ClientAuth, ClientKey, TokenEndpoint};

pub(super) struct Client {
    id: String,
    credential: Credential,
}

enum Credential {
    None,
    Basic(Secret),
    Body(Secret),
    Key(Box<ClientKey>),
}

impl Client {
    /// Reads the configured client secret or private key.
    pub(super) async fn resolve(provider: &OAuth2, context: &Context) -> Result<Self> {
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
                let pem = source.resolve(context, "private_key").await?;
                let audience = config.issuer.as_ref().map(|issuer| issuer.as_str().to_owned());
                let key = ClientKey::parse(&pem, config.algorithm, config.key_id.clone(), audience)?;
                Credential::Key(Box::new(key))
            }
        };
        Ok(Self { id: config.client_id.clone().unwrap_or_default(), credential })
    }

    fn auth(&self) -> ClientAuth<'_> {
        match &self.credential {
            Credential::None => ClientAuth::Public(&self.id),
            Credential::Basic(secret) => ClientAuth::Basic(&self.id, secret),
            Credential::Body(secret) => ClientAuth::Body(&self.id, secret),
            Credential::Key(key) => ClientAuth::Key(&self.id, key),
        }
    }

    pub(super) fn endpoint<'a>(&'a self, provider: &'a OAuth2, url: &'a ServiceUrl) -> TokenEndpoint<'a> {
        let default_life = provider.config.default_lifetime();
        TokenEndpoint { url, client: self.auth(), default_life, answer: provider.config.fields.as_ref() }
    }
}
