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
/// A provider has configuration and no state: all state is in the record. It does one exchange at a time and returns
/// the changes; the broker saves them before it calls the provider again. Locks, files, renewal windows and other
/// callers are the broker's task.
///
/// What the broker promises to a provider:
///
/// - It runs one exchange at a time per provider and host. All other callers wait, and get its result.
/// - `record` is loaded from disk under the lock, and belongs to this issuer and account.
/// - It checks that a record can be saved before [`Provider::exchange`], and saves the update before the next call.
///   An exchange is never cancelled halfway; [`Context::send`] limits its time.
/// - It calls the provider until the record has the token, at most six times: a step without a token can be an
///   exchange of its own. After [`RecordUpdate::grant_refused`] the next record has no usable grant.
/// - All waiting callers get the error of a failed exchange. A stored token that is still valid is used instead.
///
/// What a provider promises to the broker:
///
/// - HTTP, time, environment and user are reached through the [`Context`] only. It sleeps with [`Context::pause`], and
///   asks the user in [`Provider::login`] only.
/// - An exchange sends at most one request that issues something. [`crate::Repeat`] says when the request may be
///   repeated, and only the broker repeats it.
/// - A grant counts as refused only if the service itself says so ([`crate::read_object`]). No response, a partial
///   response, 429, 5xx or a web page is [`crate::ErrorKind::Unavailable`].
/// - It returns every new grant, even from a response that is otherwise unusable: [`RecordUpdate::refreshed`].
/// - Secrets are of type [`Secret`] and are in no error. Text of a service is shown with [`crate::sanitize`].
/// - Methods that are not `async` are fast, need no runtime and ask neither service nor user: they are called for stored
///   tokens too.
///
/// [`Provider::issuer`] and [`Provider::exchange`] are required. A service with a login also needs
/// [`Provider::login`], one with hosts of its own [`Provider::hosts`], and one that needs no user (client credentials)
/// [`Provider::can_renew`]. The other defaults are safe. `broker_testkit::conformance` tests the promises.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The issuer of the tokens. The provider never gets a record of another issuer.
    fn issuer(&self) -> &Issuer;

    /// The account that the configuration names. A record of another account is not used.
    fn account(&self) -> Option<&str> {
        None
    }

    /// Checks the request; fails with [`crate::ErrorKind::Usage`] if the provider does not support it. By default scopes,
    /// lifetimes and names are not supported. For a request with scopes alone, the result may be cached: it must depend
    /// on nothing else.
    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        refuse_derived(request)?;
        refuse_scopes(request)?;
        refuse_lifetime(request)
    }

    /// The hosts that accept its tokens: `example.org`, `*.example.org` for subdomains, or with a port
    /// (`127.0.0.1:8080`). Tokens are sent to no other host.
    fn hosts(&self) -> Vec<String> {
        Vec::new()
    }

    /// The provider whose token is exchanged for this one's ([`Context::token_of`]). If that provider's account
    /// changes, stored tokens are no longer used.
    fn derives_from(&self) -> Option<&str> {
        None
    }

    /// The header that carries its tokens.
    fn header(&self) -> Header {
        Header::default()
    }

    /// The file of the service's own tools that the login is shared with.
    fn login_file(&self) -> Option<Arc<dyn LoginFile>> {
        None
    }

    /// The sources of its login or secret, for the user: `EDS_SECRET`, a path. The first is the one in use.
    fn sources(&self) -> Vec<String> {
        Vec::new()
    }

    /// Fails with [`crate::ErrorCode::SecretMissing`] if the provider needs a secret and has none. Reads no secret.
    fn check_secret(&self) -> Result<()> {
        Ok(())
    }

    /// Whether a stored token may still be used; false if the setting that it came from has changed.
    fn accepts(&self, _token: &Token) -> bool {
        true
    }

    /// Whether it can get a token without the user, as far as the record shows.
    fn can_renew(&self, record: &Record) -> bool {
        record.usable_grant().is_some()
    }

    /// Whether [`Provider::exchange`] would send the grant in `record`, which may spend it. The broker first notes that
    /// on disk, for the next process if this one is killed. By default every usable grant is sent.
    fn spends_grant(&self, record: &Record, _request: &TokenRequest, _now: DateTime<Utc>) -> bool {
        record.usable_grant().is_some()
    }

    /// Does the next exchange towards the token of `request`: at most one request that issues something.
    ///
    /// `record` was loaded under the lock and is the only input. Its token for these scopes cannot be used, or this
    /// method would not be called. If the user has to log in, it fails with [`crate::ErrorKind::LoginRequired`]. A
    /// refused grant is not an error, but [`RecordUpdate::grant_refused`].
    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate>;

    /// Whether [`Provider::login`] supports [`Login::RefreshToken`]; only then can the refresh token be exported.
    fn takes_refresh_token(&self) -> bool {
        false
    }

    /// Logs the user in. The update is applied to an empty record: it replaces the previous login. By default a login is
    /// an exchange with an empty record, which shows whether the configured secret works.
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

    /// The token that [`Provider::revoke`] needs. The broker gets it first.
    fn needed_to_revoke(&self, _record: &Record) -> Option<TokenRequest> {
        None
    }

    /// Revokes the grant and the tokens at the service (RFC 7009). After an error the record stays. By default nothing
    /// can be revoked.
    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }

    /// Asks the service about a token (RFC 7662); `None` if the service does not support that.
    async fn introspect(&self, _context: &Context, _token: &Token) -> Result<Option<Map<String, Value>>> {
        Ok(None)
    }
}

/// A way to log in.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Login {
    /// The provider's usual way.
    #[default]
    Usual,
    /// With a refresh token from another host.
    RefreshToken(Secret),
    /// With this password.
    Password(Secret),
}

/// The result of a revocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Whether something was revoked at the service.
    pub revoked: bool,
    /// What else the user should know or do.
    pub note: Option<String>,
}

/// Fails if a derived credential is requested. For [`Provider::check`].
pub fn refuse_derived(request: &TokenRequest) -> Result<()> {
    match request.asked_derived().map(Derived::what) {
        Some(Derived::AWS) => {
            Err(unsupported("this provider issues no AWS credentials", RequestPart::AwsKeys))
        }
        Some(_) => Err(unsupported("this provider issues no cookie", RequestPart::Cookie)),
        None => Ok(()),
    }
}

/// Fails if scopes are requested. For [`Provider::check`].
pub fn refuse_scopes(request: &TokenRequest) -> Result<()> {
    if request.scopes().is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorCode::ScopeUnsupported, "the scopes of this provider's tokens cannot be chosen")
        .with_hint(Hint::LeaveOut(RequestPart::Scope)))
}

/// Fails if a lifetime or a name is requested. For [`Provider::check`].
pub fn refuse_lifetime(request: &TokenRequest) -> Result<()> {
    match (request.asked_lifetime(), request.asked_name()) {
        (Some(_), _) => Err(unsupported(
            "only the service sets the lifetime of this provider's tokens",
            RequestPart::Lifetime,
        )),
        (_, Some(_)) => Err(unsupported("tokens of this provider have no name", RequestPart::Name)),
        _ => Ok(()),
    }
}

fn unsupported(message: &str, part: RequestPart) -> Error {
    Error::new(ErrorCode::RequestUnsupported, message).with_hint(Hint::LeaveOut(part))
}
