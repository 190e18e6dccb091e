//! The client with its secret at hand.

use broker_core::{Context, Error, Result, Secret, ServiceUrl};

use super::OAuth2;
use super::config::Auth;
use crate::discovery::IssuerUrl;
use crate::{ClientAuth, ClientKey, TokenEndpoint};

/// Who asks, for one operation.
pub(super) struct Client {
    id: String,
    proof: Proof,
}

enum Proof {
    None,
    Basic(Secret),
    Body(Secret),
    Key(Box<ClientKey>),
}

impl Client {
    /// Reads the secret, or the key.
    pub(super) async fn resolve(provider: &OAuth2, context: &Context) -> Result<Self> {
        let config = &provider.config;
        let none = |key: &str| Error::configuration(format!("there is no `{key}`"));
        let secret = async || {
            let source = config.client_secret.as_ref().ok_or_else(|| none("client_secret"))?;
            source.resolve(context, "client_secret").await
        };
        let proof = match provider.auth {
            Auth::None => Proof::None,
            Auth::Basic => Proof::Basic(secret().await?),
            Auth::Body => Proof::Body(secret().await?),
            Auth::PrivateKeyJwt => {
                let source = config.private_key.as_ref().ok_or_else(|| none("private_key"))?;
                let pem = source.resolve(context, "private_key").await?;
                let key = ClientKey::parse(&pem, config.algorithm, config.key_id.clone())?;
                Proof::Key(Box::new(key.for_issuer(config.issuer.as_ref().map(IssuerUrl::as_str))))
            }
        };
        Ok(Self { id: config.client_id.clone().unwrap_or_default(), proof })
    }

    fn auth(&self) -> ClientAuth<'_> {
        match &self.proof {
            Proof::None => ClientAuth::Public(&self.id),
            Proof::Basic(secret) => ClientAuth::Basic(&self.id, secret),
            Proof::Body(secret) => ClientAuth::Body(&self.id, secret),
            Proof::Key(key) => ClientAuth::Key(&self.id, key),
        }
    }

    /// It, at a token endpoint.
    pub(super) fn endpoint<'a>(&'a self, provider: &'a OAuth2, url: &'a ServiceUrl) -> TokenEndpoint<'a> {
        let default_life = provider.config.life();
        TokenEndpoint { url, client: self.auth(), default_life, answer: provider.config.fields.as_ref() }
    }
}
