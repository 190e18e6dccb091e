//! A handle of one provider, with all calls that embedding programs make.

use std::sync::Arc;

use super::{Broker, LoggedIn, LoggedOut, Slot, Status};
use crate::context::Prompt;
use crate::error::{Error, Result};
use crate::provider::{Login, ProviderInfo, host_matches};
use crate::token::{Secret, Token, TokenRequest};

/// One provider of a [`Broker`]. Clones are cheap and share all state.
///
/// Async calls need a tokio runtime with time, and with I/O for the default HTTP client. Dropped calls still save what the
/// service returned: see [`Broker`].
#[derive(Clone)]
pub struct ProviderHandle {
    pub(super) broker: Broker,
    pub(super) slot: Arc<Slot>,
}

impl ProviderHandle {
    /// Returns the provider's name in the configuration.
    pub fn name(&self) -> &str {
        &self.slot.name
    }

    /// Describes the provider, as the configuration changed it.
    pub fn info(&self) -> &ProviderInfo {
        &self.slot.entry.info
    }

    /// Whether the provider's tokens may be sent to `host`, which may include a port.
    pub fn offers_to(&self, host: &str) -> bool {
        self.info().hosts.iter().any(|pattern| host_matches(pattern, host))
    }

    /// Returns the provider's usual token: see [`ProviderHandle::token_with`].
    pub async fn token(&self) -> Result<Token> {
        self.token_with(&TokenRequest::new()).await
    }

    /// Returns the stored token, or gets and saves a new one. Only one of all concurrent callers, in all processes,
    /// contacts the service.
    pub async fn token_with(&self, request: &TokenRequest) -> Result<Token> {
        if let Some(token) = self.stored_with(request)? {
            return Ok(token);
        }
        let request = request.clone();
        self.run(None, |task| async move { task.renew(&request).await }).await
    }

    /// Returns the stored usual token: see [`ProviderHandle::stored_with`].
    pub fn stored(&self) -> Result<Option<Token>> {
        self.stored_with(&TokenRequest::new())
    }

    /// Returns the stored token unless it needs renewal. Sends no request, does not wait and needs no async runtime.
    /// Returns `None` also for an encrypted record whose key is not in memory yet: [`ProviderHandle::token_with`] gets
    /// the key.
    pub fn stored_with(&self, request: &TokenRequest) -> Result<Option<Token>> {
        self.broker.inner.stored(self.name(), request).map_err(|error| self.named(error))
    }

    /// Like [`ProviderHandle::stored_with`], but waits for the key of an encrypted record, which a keyring, a program or a
    /// slow key derivation may provide. For programs without an async runtime.
    pub fn blocking_stored_with(&self, request: &TokenRequest) -> Result<Option<Token>> {
        let inner = &self.broker.inner;
        if matches!(inner.peek_cached(&self.slot), Ok(None)) {
            inner.reload(&self.slot).map_err(|error| self.named(error))?;
        }
        self.stored_with(request)
    }

    /// Replaces the usual token after a service rejected it: see [`ProviderHandle::replace_rejected_with`].
    pub async fn replace_rejected(&self, rejected: &Token) -> Result<Token> {
        self.replace_rejected_with(&TokenRequest::new(), Some(rejected.secret())).await
    }

    /// Replaces the unexpired token `rejected` after a service rejected it (401, RFC 6750 section 3.1). `None` means
    /// the stored token.
    ///
    /// If a newer token is already stored, returns that token. Concurrent callers share one new token. For 30 seconds,
    /// the new token is not replaced: a caller that passes the new token as `rejected` gets
    /// [`crate::error::ErrorCode::TokenRejected`], and a caller that passes `None` gets the new token. While the
    /// service's `Retry-After` forbids requests, the call fails and the rejected token stays stored.
    pub async fn replace_rejected_with(
        &self,
        request: &TokenRequest,
        rejected: Option<&Secret>,
    ) -> Result<Token> {
        let now = self.broker.inner.context.now();
        self.slot.entry.provider.check(request, now).map_err(|error| self.named(error))?;
        let (request, rejected) = (request.clone(), rejected.cloned());
        self.run(None, |task| async move { task.replace(&request, rejected).await }).await
    }

    /// Logs in and saves the login, with `prompt` for the user's part. The previous login stays stored until the new one
    /// is saved.
    pub async fn login(&self, prompt: &Arc<dyn Prompt>) -> Result<LoggedIn> {
        self.log_in(Some(prompt.clone()), Login::Usual).await
    }

    /// Logs in by this method and saves the login. The broker's own prompt asks the user, if necessary.
    pub async fn login_with(&self, login: Login) -> Result<LoggedIn> {
        self.log_in(None, login).await
    }

    async fn log_in(&self, prompt: Option<Arc<dyn Prompt>>, login: Login) -> Result<LoggedIn> {
        self.run(prompt, |task| task.login(login)).await
    }

    /// Returns a token, after a login if necessary. Only one of the concurrent callers logs in and gets [`LoggedIn`];
    /// all callers get the token.
    pub async fn token_or_login(&self, request: &TokenRequest) -> Result<(Token, Option<LoggedIn>)> {
        let request = request.clone();
        self.run(None, |task| async move { task.token_or_login(&request).await }).await
    }

    /// Returns the stored refresh token, for a login on another host. If the service rotates refresh tokens, one of
    /// the hosts then loses its login.
    pub fn refresh_token(&self) -> Result<Secret> {
        self.broker.inner.refresh_token(&self.slot).map_err(|error| self.named(error))
    }

    /// Revokes the login at the service, then removes the record. If the service cannot be reached, the record stays.
    pub async fn logout(&self) -> Result<LoggedOut> {
        self.run(None, |task| task.logout(false)).await
    }

    /// Removes the record without contacting the service.
    pub async fn logout_locally(&self) -> Result<LoggedOut> {
        self.run(None, |task| task.logout(true)).await
    }

    pub(super) fn named(&self, error: Error) -> Error {
        error.for_provider(self.name())
    }
}

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
