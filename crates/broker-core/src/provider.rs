//! What a service is to the broker.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::{
    Context, Derived, Error, Header, Issuer, LoginFile, Record, RecordUpdate, Result, Secret, Token,
    TokenRequest,
};

/// A service that gives tokens.
///
/// A provider keeps nothing: what it knows is its configuration, what it holds is the record. It does one
/// exchange at a time and hands back what changed; the broker saves that before it asks again. So nothing a
/// service gave is only in memory when the next request goes out, and a provider never deals with locks,
/// files, windows or other callers.
///
/// What the broker promises a provider:
///
/// - One exchange at a time for each provider of a host: whoever else asks waits, and gets what this one brought.
/// - `record` is what the disk has, loaded under the lock, of this issuer and account only.
/// - That a change can be saved is known before [`Provider::exchange`] is called, and it is saved before the next call.
///   An exchange is not called off half way: it ends by itself, as [`Context::send`] does, which is bounded.
/// - It is asked again until the token is there, six times at most: a step that gives no token may be a call of its own.
///   After a [`RecordUpdate::grant_refused`] it is asked again with a record whose grant is no longer usable.
/// - A failure is told to all who wait, and a held token that is still good serves in its place.
///
/// What a provider promises the broker:
///
/// - All that it needs of the world comes from the [`Context`]: HTTP, time, environment, the person. It sleeps by
///   [`Context::pause`], and asks a person in [`Provider::login`] only.
/// - An exchange sends at most one request that gives something. [`crate::Repeat`] says what may be sent again, and the
///   broker alone repeats.
/// - A grant is refused for good only where the service says so in its own words ([`crate::read_object`]). What tells
///   nothing of the request (no answer, half an answer, 429, 5xx, a web page) is [`crate::ErrorKind::Unavailable`].
/// - A new grant in any answer is handed back, also where the rest is of no use: [`RecordUpdate::refreshed`].
/// - Secrets are [`Secret`]s, and in no error. A service's own words are shown by [`crate::sanitize`].
/// - What does not block is quick: everything but `exchange`, `login`, `revoke` and `introspect` is called for a held token
///   too, without a runtime, and asks nobody.
///
/// Needed are [`Provider::issuer`] and [`Provider::exchange`]. A service with a login has [`Provider::login`] too, one
/// whose tokens go to its own hosts [`Provider::hosts`], and one that asks without a person (a client's secret)
/// [`Provider::can_renew`]. All else has a default that is safe. `broker_testkit::conformance` checks the promises.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Who gives the tokens. A record of another issuer is never shown to this provider.
    fn issuer(&self) -> &Issuer;

    /// The account the configuration names, if it does. A record of another account is not used.
    fn account(&self) -> Option<&str> {
        None
    }

    /// Whether the request makes sense here; an [`crate::ErrorKind::Usage`] error if not. By default scopes
    /// can't be chosen, nor the life of a token, nor its name. What it said of scopes alone is not asked again while their
    /// token is handed out: it has to follow from the request.
    fn check(&self, request: &TokenRequest, _now: DateTime<Utc>) -> Result<()> {
        refuse_derived(request)?;
        refuse_scopes(request)?;
        refuse_life(request)
    }

    /// The hosts that its tokens are for: `example.org`, `*.example.org` for those below it, or with a port
    /// (`127.0.0.1:8080`). A token is offered to no other.
    fn hosts(&self) -> Vec<String> {
        Vec::new()
    }

    /// The provider whose token its own are had with ([`Context::token_of`]), if there is one: when that one has another
    /// account, held tokens are not used.
    fn derives_from(&self) -> Option<&str> {
        None
    }

    /// The header that its tokens go into.
    fn header(&self) -> Header {
        Header::default()
    }

    /// The file of the service's own tools that its login is shared with, if it is.
    fn login_file(&self) -> Option<Arc<dyn LoginFile>> {
        None
    }

    /// Where its login or secret comes from, in words for people: `EDS_SECRET`, a file's path. First the one that is
    /// used.
    fn sources(&self) -> Vec<String> {
        Vec::new()
    }

    /// Fails with [`crate::ErrorCode::SecretMissing`] if the provider needs a secret and has none. Reads no secret.
    fn check_secret(&self) -> Result<()> {
        Ok(())
    }

    /// Whether a held token may still be handed out; not if it came from a setting that has another by now.
    fn accepts(&self, _token: &Token) -> bool {
        true
    }

    /// Whether a token could be had without a person, as far as can be told without asking the service.
    fn can_renew(&self, record: &Record) -> bool {
        record.usable_grant().is_some()
    }

    /// Whether [`Provider::exchange`] would send the grant in `record`, which may spend it: the broker first puts
    /// that on disk, so that after a kill between the two the next process knows. By default any usable grant is
    /// sent.
    fn spends_grant(&self, record: &Record, _request: &TokenRequest, _now: DateTime<Utc>) -> bool {
        record.usable_grant().is_some()
    }

    /// The next exchange on the way to the token of `request`: at most one request that gives something.
    ///
    /// `record` is what was loaded under the lock, and the only input. A token in it for the scopes asked for
    /// is not good enough, or this would not be called. An [`crate::ErrorKind::LoginRequired`] error says
    /// that a person has to log in; a refused grant is a [`RecordUpdate::grant_refused`], not an error.
    async fn exchange(
        &self,
        context: &Context,
        record: &Record,
        request: &TokenRequest,
    ) -> Result<RecordUpdate>;

    /// Whether [`Provider::login`] takes [`Login::RefreshToken`]: only then is a refresh token given away, for a login
    /// elsewhere.
    fn takes_refresh_token(&self) -> bool {
        false
    }

    /// Logs a person in. The change is put into an empty record: nothing of the last login stays. By default there is
    /// no login but an exchange with an empty record, which shows that the configured secret works.
    async fn login(&self, context: &Context, login: &Login) -> Result<RecordUpdate> {
        match login {
            Login::Usual => {
                let record = Record::new("login", self.issuer().clone());
                self.exchange(context, &record, &TokenRequest::new()).await
            }
            _ => Err(Error::usage("this provider has no login: what it needs stands in the configuration")),
        }
    }

    /// The token that [`Provider::revoke`] needs, if it needs one: the broker sees to it that the record has it.
    fn needed_to_revoke(&self, _record: &Record) -> Option<TokenRequest> {
        None
    }

    /// Revokes the grant and what else can be revoked at the service (RFC 7009). Errors keep the record. By default
    /// nothing can be.
    async fn revoke(&self, _context: &Context, _record: &Record) -> Result<Revoked> {
        Ok(Revoked::default())
    }

    /// What the service says of a token (RFC 7662), if it can be asked.
    async fn introspect(&self, _context: &Context, _token: &Token) -> Result<Option<Map<String, Value>>> {
        Ok(None)
    }
}

/// How to log in.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Login {
    /// As the provider usually does it.
    #[default]
    Usual,
    /// With a refresh token from elsewhere.
    RefreshToken(Secret),
    /// With this password.
    Password(Secret),
}

/// What came of a revocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Whether something was revoked at the service.
    pub revoked: bool,
    /// What the person should know or do besides.
    pub note: Option<String>,
}

/// For [`Provider::check`]: an error if a derived credential is asked for.
pub fn refuse_derived(request: &TokenRequest) -> Result<()> {
    match request.asked_derived().map(Derived::what) {
        Some(Derived::AWS) => {
            Err(Error::usage("this kind gives no AWS credentials: leave out `--format aws` and `--role`"))
        }
        Some(_) => Err(Error::usage("this kind gives no cookie: leave out `--format cookies`")),
        None => Ok(()),
    }
}

/// For [`Provider::check`]: an error if scopes are asked for.
pub fn refuse_scopes(request: &TokenRequest) -> Result<()> {
    if request.scopes().is_empty() {
        return Ok(());
    }
    Err(Error::usage("the tokens of this kind have no scopes to choose: leave out `--scope`"))
}

/// For [`Provider::check`]: an error if a life or a name is asked for.
pub fn refuse_life(request: &TokenRequest) -> Result<()> {
    match (request.asked_life(), request.asked_name()) {
        (Some(_), _) => Err(Error::usage(
            "the service alone sets how long a token of this kind lives: leave out `--expires`",
        )
        .with_hint("to ask for a life that must be left, use --min-ttl")),
        (_, Some(_)) => Err(Error::usage("tokens of this kind have no name: leave out `--name`")),
        _ => Ok(()),
    }
}
