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
        locked.log_in(login).await
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
        match locked.renew(request).await {
            Err(error) if error.kind() == ErrorKind::LoginRequired && shorter.is_none() => {}
            Err(error) => return Ok((self.fall_back(shorter, error)?, None)),
            Ok(token) => return Ok((token, None)),
        }
        let logged_in = match locked.log_in(Login::Usual).await {
            Ok(logged_in) => logged_in,
            Err(error) => {
                locked.note_failure(request, &error).await;
                return Err(error);
            }
        };
        let token = match fitting(&locked.record) {
            Some(token) => token,
            None => locked.exchange(request).await?,
        };
        Ok((token, Some(logged_in)))
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
            locked.revoke().await.map_err(|error| {
                let message = format!("cannot log out: {}", error.message());
                error.with_message(message).with_hint(Hint::LogOutLocally)
            })?
        };
        self.notify_quarantined(locked.lock.forget().await?);
        self.operation.nothing_issued();
        self.inner.cache(&self.slot, self.slot.empty(), false);
        Ok(LoggedOut { had_login: true, at_service, others_forgotten })
    }

    async fn acquire_lock(&self) -> Result<LockedRecord<'_>> {
        let Acquired::Lock(locked) = self.acquire(|_| Ok(None::<Infallible>)).await?;
        Ok(*locked)
    }
}

impl LockedRecord<'_> {
    async fn log_in(&mut self, login: Login) -> Result<LoggedIn> {
        login.check(&self.task.info().logins)?;
        let next = self.record.for_new_login(&self.task.info().issuer);
        self.lock.probe(&next, 1).await?;
        let source_owner = self.task.inner.source_owner(&self.task.slot);
        self.task.operation.delivery.begin(None);
        let mut update = self.task.provider().login(&self.task.operation, &login).await?;
        let unusable = match self.task.take_unusable(&mut update) {
            // Nothing replaces the stored login.
            Some(error) if !update.has_secrets() => return Err(error),
            unusable => unusable,
        };
        self.record = next;
        let update = self.task.inner.note_source_owner(&self.task.slot, source_owner.as_ref(), update);
        self.save(with_login_id(update)).await?;
        if let Some(error) = unusable {
            let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            self.task.operation.prompt().notify(&format!(
                "{}: {}{hint}",
                self.task.slot.name,
                error.message()
            ));
        }
        let record = &self.record;
        let (account, token) = (record.account().map(str::to_owned), record.longest_token().cloned());
        Ok(LoggedIn { account, token })
    }

    async fn revoke(&mut self) -> Result<Revoked> {
        let revoked = self.task.provider().revoke(&self.task.operation, &self.record).await?;
        let Some(request) = &revoked.needs else { return Ok(revoked) };
        match self.exchange(request).await {
            // If the login has expired, the second revocation tells the user what to do.
            Err(error) if error.kind() != ErrorKind::LoginRequired => return Err(error),
            Ok(_) | Err(_) => {}
        }
        self.task.provider().revoke(&self.task.operation, &self.record).await
    }
}
