//! The interface between the broker and a service.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{
    Context, Derived, Error, ErrorCode, Header, Hint, Issuer, LoginFile, Record, RecordUpdate, RequestPart,
    Result, Secret, Token, TokenRequest,
};

/// A service that issues tokens.
///
/// A provider has configuration but no state, because all state is in the record. Each call does one exchange with
/// the service and returns the changes. The broker saves the changes before it calls the provider again, and handles
/// locks, files, renewal times and other callers.
///
/// The broker guarantees to a provider:
///
/// - Only one exchange runs at a time per provider and host. Other callers wait for the result.
/// - `record` is loaded under the lock, and belongs to the provider's issuer and account.
/// - Before [`Provider::exchange`], the record was checked to be writable; after the call, the update is saved.
/// - An exchange is never cancelled halfway; [`Context::send`] has a timeout.
/// - The provider is called until the record has the token, at most six times, so a token may take several exchanges.
/// - After [`RecordUpdate::grant_refused`], the next record has no usable grant.
/// - If an exchange fails, all waiting callers get a stored token that is still valid, or else the error.
///
/// A provider guarantees to the broker:
///
/// - The provider uses HTTP, time, environment and user only through the [`Context`]. It sleeps with
///   [`Context::pause`].
/// - Only [`Provider::login`] asks the user.
/// - An exchange sends at most one request that issues a token. [`crate::Repeat`] says when the broker may repeat
///   the request.
/// - A grant counts as refused only if the service itself says so ([`crate::FinalCodes`]). A missing or partial
///   response, 429, 5xx or a web page is [`crate::ErrorKind::Unavailable`].
/// - The provider returns every new grant, even from a malformed response: [`RecordUpdate::refreshed`].
/// - Secrets have the type [`Secret`], and errors contain none. [`crate::sanitize`] cleans text from the service.
/// - Methods that are not `async` are fast, need no async runtime, and contact neither service nor user.
///
/// Only [`Provider::issuer`] and [`Provider::exchange`] are required. A service with a login also needs
/// [`Provider::login`], one with its own hosts [`Provider::hosts`], and one without a user (client credentials)
/// [`Provider::can_renew`]. `broker_testkit::conformance` tests the guarantees.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Returns the issuer of the provider's tokens. The broker never passes a record of another issuer to the provider.
    fn issuer(&self) -> &Issuer;

    /// Returns the account that the configuration names. The broker does not use records of another account.
    fn account(&self) -> Option<&str> {
        None
    }

    /// Checks a request, and fails with [`crate::ErrorKind::Usage`] if the provider does not support the request. By
    /// default, accepts no scopes, lifetimes or names. For a request with only scopes, the result must not change,
    /// because the broker caches it.
    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        refuse_derived(request)?;
        refuse_scopes(request)?;
        refuse_lifetime(request)
    }

    /// Returns the only hosts to which tokens may be sent: `example.org`, `*.example.org` for subdomains, or a host
    /// with a port (`127.0.0.1:8080`).
    fn hosts(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the name of the provider whose token is exchanged for this provider's tokens ([`Context::token_of`]). If
    /// the account of the named provider changes, the broker no longer uses this provider's stored tokens.
    fn derives_from(&self) -> Option<&str> {
        None
    }

    /// Returns the HTTP header in which programs send the provider's tokens.
    fn header(&self) -> Header {
        Header::default()
    }

    /// Returns the login file that the broker shares with the service's own tools.
    fn login_file(&self) -> Option<Arc<dyn LoginFile>> {
        None
    }

    /// Describes the sources of the login or secret, such as `EDS_SECRET` or a path. The source in use is the first.
    fn sources(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the name of the local program that issues the tokens, for error messages; `None` for a service.
    fn program(&self) -> Option<String> {
        None
    }

    /// Fails with [`crate::ErrorCode::SecretMissing`] if a required secret is not configured. Does not read the
    /// secret.
    fn check_secret(&self) -> Result<()> {
        Ok(())
    }

    /// Whether the broker may use this stored token. False if settings that the token depends on have changed.
    fn accepts(&self, _token: &Token) -> bool {
        true
    }

    /// Whether the provider can get a token with `record`, without asking the user.
    fn can_renew(&self, record: &Record) -> bool {
        record.usable_grant().is_some()
    }

    /// Whether [`Provider::exchange`] would send the refresh token (grant) in `record`, which the service may then
    /// replace. The broker first saves the time ([`crate::Grant::sent_at`]), in case the process is killed. By default,
    /// true for every usable grant.
    fn spends_grant(&self, record: &Record, _request: &TokenRequest, _now: DateTime<Utc>) -> bool {
        record.usable_grant().is_some()
    }

    /// Gets the requested token, or a token that is needed first. Sends at most one request that issues a token.
    ///
    /// `record` is loaded under the lock, has no usable token for the request, and is the only stored input. If the user has to log in, fails
    /// with [`crate::ErrorKind::LoginRequired`]. If the service refuses the refresh token or stored login, returns
    /// [`RecordUpdate::grant_refused`].
    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate>;

    /// Returns how the user logs in if no login is stored.
    fn login_hint(&self) -> Hint {
        Hint::LogIn
    }

    /// Whether [`Provider::login`] accepts [`Login::RefreshToken`]. If not, the broker exports no refresh tokens.
    fn takes_refresh_token(&self) -> bool {
        false
    }

    /// Logs the user in. The update replaces the whole previous login. By default, gets a token with
    /// [`Provider::exchange`] and an empty record, which tests the configured secret.
    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        match login {
            Login::Usual => {
                let record = Record::new("login", self.issuer().clone());
                self.exchange(context, &record, &TokenRequest::new()).await
            }
            _ => Err(Error::new(
                ErrorCode::LoginUnsupported,
                "this provider has no login: its credentials are in the configuration",
            )),
        }
    }

    /// Returns the request for a token that the broker gets before [`Provider::revoke`], which needs the token.
    fn needed_to_revoke(&self, _record: &Record) -> Option<TokenRequest> {
        None
    }

    /// Revokes the grant and the tokens at the service (RFC 7009). If the revocation fails, the record stays. By
    /// default, revokes nothing.
    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }

    /// Asks the service about a token (RFC 7662); `None` if the service does not support introspection.
    async fn introspect(&self, _context: &Context, _token: &Token) -> Result<Option<Map<String, Value>>> {
        Ok(None)
    }
}

/// How to log in: by the default method, a refresh token or a password.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Login {
    /// Logs in with the provider's default method, such as a browser.
    #[default]
    Usual,
    /// Logs in with a refresh token from a login on another host.
    RefreshToken(Secret),
    /// Logs in with this password instead of a prompt.
    Password(Secret),
}

/// The result of [`Provider::revoke`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Whether the service has revoked at least one refresh token or access token.
    pub revoked: bool,
    /// A note for the user, such as which token to revoke by hand.
    pub note: Option<String>,
}

/// Fails if the request is for AWS keys or a cookie instead of a token. For use in [`Provider::check`].
pub fn refuse_derived(request: &TokenRequest) -> Result<()> {
    match request.asked_derived().map(|derived| derived.what) {
        Some(Derived::AWS) => {
            Err(unsupported("this provider issues no AWS credentials", RequestPart::AwsKeys))
        }
        Some(_) => Err(unsupported("this provider issues no cookie", RequestPart::Cookie)),
        None => Ok(()),
    }
}

/// Fails if the token request has scopes. For use in [`Provider::check`].
pub fn refuse_scopes(request: &TokenRequest) -> Result<()> {
    if request.scopes().is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorCode::ScopeUnsupported, "this provider does not support requests with scopes")
        .with_hint(Hint::LeaveOut(RequestPart::Scope)))
}

/// Fails if the token request has a lifetime or a name for the new token. For use in [`Provider::check`].
pub fn refuse_lifetime(request: &TokenRequest) -> Result<()> {
    match (request.asked_lifetime(), request.asked_name()) {
        (Some(_), _) => Err(unsupported(
            "only the service sets the lifetime of this provider's tokens",
            RequestPart::Lifetime,
        )),
        (_, Some(_)) => Err(unsupported("tokens of this provider cannot have a name", RequestPart::Name)),
        _ => Ok(()),
    }
}

fn unsupported(message: &str, part: RequestPart) -> Error {
    Error::new(ErrorCode::RequestUnsupported, message).with_hint(Hint::LeaveOut(part))
}
