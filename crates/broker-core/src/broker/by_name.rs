//! The calls of [`ProviderHandle`] with the name of the provider.

use super::{Broker, LoggedIn, LoggedOut, ProviderHandle, Status};
use crate::error::Result;
use crate::provider::Login;
use crate::token::{Secret, Token, TokenRequest};

impl Broker {
    /// Returns a handle of the provider with this name. Fails if the configuration has no such provider, or if its settings
    /// are invalid.
    pub fn provider(&self, name: &str) -> Result<ProviderHandle> {
        Ok(ProviderHandle { broker: self.clone(), slot: self.inner.slot(name)? })
    }

    /// Calls [`ProviderHandle::stored_with`].
    pub fn stored(&self, provider: &str, request: &TokenRequest) -> Result<Option<Token>> {
        self.inner.stored(provider, request).map_err(|error| error.for_provider(provider))
    }

    /// Calls [`ProviderHandle::token_with`].
    pub async fn token(&self, provider: &str, request: &TokenRequest) -> Result<Token> {
        // Nearly all calls end here, without a lookup of the provider.
        match self.stored(provider, request)? {
            Some(token) => Ok(token),
            None => self.provider(provider)?.token_with(request).await,
        }
    }

    /// Calls [`ProviderHandle::replace_rejected_with`].
    pub async fn replace_rejected(
        &self,
        provider: &str,
        request: &TokenRequest,
        rejected: Option<&Secret>,
    ) -> Result<Token> {
        self.provider(provider)?.replace_rejected_with(request, rejected).await
    }

    /// Calls [`ProviderHandle::login_with`].
    pub async fn login(&self, provider: &str, login: Login) -> Result<LoggedIn> {
        self.provider(provider)?.login_with(login).await
    }

    /// Calls [`ProviderHandle::logout`].
    pub async fn logout(&self, provider: &str) -> Result<LoggedOut> {
        self.provider(provider)?.logout().await
    }

    /// Calls [`ProviderHandle::status`].
    pub fn status(&self, provider: &str) -> Result<Status> {
        self.provider(provider)?.status()
    }
}
