//! The interface between the broker and a service.

pub(crate) mod delivery;
pub(crate) mod in_flight;
mod info;
mod kind;
mod login;
mod operation;
mod secret_source;
mod send;
mod settings_error;
pub mod tools;
pub(crate) mod values;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::error::Result;
use crate::record::{Record, RecordUpdate};
use crate::token::{Token, TokenRequest};

pub use info::{Choice, ProviderInfo, Requests, Scopes, host_matches};
pub use kind::{EnvTarget, Kind, Settings};
pub use login::{InvalidLoginFile, Login, LoginFile, LoginMethod, Revoked};
pub use operation::Operation;
pub(crate) use operation::{DEFAULT_TIMEOUT, OtherProviders};
pub use secret_source::SecretSource;
pub use settings_error::{SettingsError, SettingsProblem};
pub use values::{Command, ConfigDuration, ExpiresAs, Fields, Pattern, Words};

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
/// - An exchange is never cancelled halfway; [`Operation::send`] has a timeout.
/// - The provider is called until the record has the token, at most six times, so a token may take several exchanges.
/// - After [`RecordUpdate::grant_refused`], the next record has no usable grant.
/// - If an exchange fails, all waiting callers get a stored token that is still valid, or else the error.
///
/// A provider guarantees to the broker:
///
/// - The provider uses HTTP, time, environment and user only through the [`Operation`]. It sleeps with
///   [`Operation::pause`].
/// - Only [`Provider::login`] asks the user.
/// - An exchange sends at most one request that issues a token. [`crate::context::Repeat`] says when the broker may
///   repeat the request.
/// - A grant counts as refused only if the service itself says so ([`crate::context::FinalCodes`]). A missing or partial
///   response, 429, 5xx or a web page is [`crate::error::ErrorKind::Unavailable`].
/// - The provider returns every new grant, even from a malformed response: [`RecordUpdate::refreshed`].
/// - Secrets have the type [`crate::token::Secret`], and errors contain none. [`crate::token::sanitize`] cleans text
///   from the service.
/// - Methods that are not `async` are fast, need no async runtime, and contact neither service nor user.
///
/// `broker_testkit::conformance` tests the guarantees.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Describes the provider: its issuer, hosts, and what may be requested. The description never changes.
    fn info(&self) -> &ProviderInfo;

    /// Gets the requested token, or a token that is needed first. Sends at most one request that issues a token.
    ///
    /// `record` is loaded under the lock, has no usable token for the request, and is the only stored input. If the
    /// user has to log in, fails with [`crate::error::ErrorKind::LoginRequired`]. If the service refuses the refresh
    /// token or stored login, returns [`RecordUpdate::grant_refused`].
    async fn exchange(
        &self,
        operation: &Operation,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate>;

    /// Checks a request, and fails with [`crate::error::ErrorKind::Usage`] if the provider does not support the request.
    /// By default, checks it by [`ProviderInfo::requests`]. For a request with only scopes, the result must not change,
    /// because the broker caches it.
    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        self.info().requests.check(request)
    }

    /// Returns what [`Provider::exchange`] would send. Before it sends the grant, the broker saves the time
    /// ([`crate::record::Grant::sent_at`]), in case the process is killed. By default, sends a usable grant, and needs no
    /// login if the provider has none ([`ProviderInfo::logins`]).
    fn next_exchange(&self, record: &Record, _request: &TokenRequest, _now: DateTime<Utc>) -> NextExchange {
        match record.usable_grant() {
            Some(_) => NextExchange::SendsGrant,
            None if self.info().logins.is_empty() => NextExchange::KeepsGrant,
            None => NextExchange::NeedsLogin,
        }
    }

    /// Whether the broker may use this stored token. False if settings that the token depends on have changed.
    fn accepts(&self, _token: &Token) -> bool {
        true
    }

    /// Logs the user in, by a method of [`ProviderInfo::logins`]. The update replaces the whole previous login. By
    /// default, gets a token with [`Provider::exchange`] and an empty record, which tests the configured secret.
    async fn login(&self, operation: &Operation, _login: &Login) -> Result<RecordUpdate> {
        let record = Record::new("login", self.info().issuer.clone());
        self.exchange(operation, &record, &TokenRequest::new()).await
    }

    /// Revokes the grant and the tokens at the service (RFC 7009). If the revocation fails, the record stays. By
    /// default, revokes nothing.
    async fn revoke(&self, _operation: &Operation, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }

    /// Asks the service about a token (RFC 7662); `None` if the service does not support introspection.
    async fn introspect(&self, _operation: &Operation, _token: &Token) -> Result<Option<Map<String, Value>>> {
        Ok(None)
    }
}

/// What the next exchange of a provider sends: see [`Provider::next_exchange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextExchange {
    /// The grant (refresh token or stored login), which the service may replace.
    SendsGrant,
    /// Something that the service does not replace: an access token, a client secret or a configured password.
    KeepsGrant,
    /// Nothing: the user has to log in first.
    NeedsLogin,
}
