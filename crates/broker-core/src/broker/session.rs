//! Login and logout.

use std::convert::Infallible;

use super::derived::with_login_id;
use super::task::{Acquired, LockedRecord, ProviderTask};
use super::{Inner, Slot};
use crate::error::{Error, ErrorCode, ErrorKind, Hint, Result};
use crate::provider::{Login, Revoked};
use crate::record::Record;
use crate::token::{Secret, Token, TokenRequest};

/// The account and the token of a successful login.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoggedIn {
    /// The account's name, if the service reports it.
    pub account: Option<String>,
    /// The token that was issued with the login.
    pub token: Option<Token>,
}

/// The result of a logout.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedOut {
    /// Whether a login or a token was stored before the logout.
    pub had_login: bool,
    /// Whether the service revoked the login, with a note for the user.
    pub at_service: Revoked,
    /// Whether stored logins of other issuers were removed too, without being revoked.
    pub others_forgotten: bool,
}

impl Inner {
    pub(super) fn refresh_token(&self, slot: &Slot) -> Result<Secret> {
        if !slot.entry.info.takes_refresh_token() {
            let message = "logins of this provider cannot be used on another host";
            return Err(Error::new(ErrorCode::RequestUnsupported, message)
                .with_hint("on each host, log in or configure the provider's secret"));
        }
        let record = self.reload(slot)?.record;
        record.usable_grant().map(|grant| grant.secret().clone()).ok_or_else(|| {
            let why = record.why_empty().map(|why| format!(" ({why})")).unwrap_or_default();
            Error::login_required(format!("no refresh token is stored{why}")).with_hint(Hint::LogIn)
        })
    }
}

impl ProviderTask {
    pub(super) async fn login(self, login: Login) -> Result<LoggedIn> {
        let mut locked = self.acquire_lock().await?;
        self.log_in(&mut locked, login).await
    }

    pub(super) async fn token_or_login(self, request: &TokenRequest) -> Result<(Token, Option<LoggedIn>)> {
        let fitting = |record: &Record| self.fitting_token(record, request).cloned();
        let mut locked = match self.acquire(|record| Ok(fitting(record))).await? {
            Acquired::Lock(locked) => locked,
            Acquired::Found(token) => return Ok((token, None)),
        };
        if let Some(token) = fitting(&locked.record) {
            return Ok((token, None));
        }
        let shorter = self.valid_token(&locked.record, request).cloned();
        match self.renew_locked(&mut locked, request).await {
            Err(error) if error.kind() == ErrorKind::LoginRequired && shorter.is_none() => {}
            Err(error) => return Ok((self.fall_back(shorter, error)?, None)),
            Ok(token) => return Ok((token, None)),
        }
        let logged_in = match self.log_in(&mut locked, Login::Usual).await {
            Ok(logged_in) => logged_in,
            Err(error) => {
                self.note_failure(&mut locked, request, &error).await;
                return Err(error);
            }
        };
        let token = match fitting(&locked.record) {
            Some(token) => token,
            None => self.exchange(&mut locked, request).await?,
        };
        Ok((token, Some(logged_in)))
    }

    async fn log_in(&self, locked: &mut LockedRecord, login: Login) -> Result<LoggedIn> {
        login.check(&self.info().logins)?;
        let next = locked.record.for_new_login(&self.info().issuer);
        locked.lock.probe(&next, 1).await?;
        let source_owner = self.inner.source_owner(&self.slot);
        self.operation.delivery.begin(None);
        let mut update = self.provider().login(&self.operation, &login).await?;
        let unusable = match self.take_unusable(&mut update) {
            // Nothing replaces the stored login.
            Some(error) if !update.has_secrets() => return Err(error),
            unusable => unusable,
        };
        locked.record = next;
        let update = self.inner.note_source_owner(&self.slot, source_owner.as_ref(), update);
        self.save(locked, with_login_id(update)).await?;
        if let Some(error) = unusable {
            let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            self.operation.prompt().notify(&format!("{}: {}{hint}", self.slot.name, error.message()));
        }
        let record = &locked.record;
        let (account, token) = (record.account().map(str::to_owned), record.longest_token().cloned());
        Ok(LoggedIn { account, token })
    }

    pub(super) async fn logout(self, local: bool) -> Result<LoggedOut> {
        let mut locked = self.acquire_lock().await?;
        let others_forgotten = locked.record.has_other_issuers();
        if locked.record.is_empty() && !others_forgotten && locked.unreadable.is_none() {
            return Ok(LoggedOut { had_login: false, at_service: Revoked::default(), others_forgotten });
        }
        let at_service = if local || locked.record.is_empty() {
            Revoked::default()
        } else {
            self.revoke(&mut locked).await.map_err(|error| {
                let message = format!("cannot log out: {}", error.message());
                error.with_message(message).with_hint(Hint::LogOutLocally)
            })?
        };
        self.notify_quarantined(locked.lock.forget().await?);
        self.operation.nothing_issued();
        self.inner.cache(&self.slot, self.slot.empty(), false);
        Ok(LoggedOut { had_login: true, at_service, others_forgotten })
    }

    async fn revoke(&self, locked: &mut LockedRecord) -> Result<Revoked> {
        let revoked = self.provider().revoke(&self.operation, &locked.record).await?;
        let Some(request) = &revoked.needs else { return Ok(revoked) };
        match self.exchange(locked, request).await {
            // If the login has expired, the second revocation tells the user what to do.
            Err(error) if error.kind() != ErrorKind::LoginRequired => return Err(error),
            Ok(_) | Err(_) => {}
        }
        self.provider().revoke(&self.operation, &locked.record).await
    }

    async fn acquire_lock(&self) -> Result<LockedRecord> {
        let Acquired::Lock(locked) = self.acquire(|_| Ok(None::<Infallible>)).await?;
        Ok(*locked)
    }
}
