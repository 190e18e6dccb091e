//! Logging in and out.

use chrono::{DateTime, Utc};

use super::Broker;
use super::derived::of_new_login;
use super::operation::{Acquired, LockedRecord, Operation};
use super::renew::arrived_unfit;
use crate::{Error, ErrorKind, Hint, Login, Record, Result, Revoked, Secret, Token, TokenRequest};

/// What a login brought.
#[derive(Debug, Clone)]
pub struct LoggedIn {
    /// Whose login it is, if the service says.
    pub account: Option<String>,
    /// The token that came with it, if one did.
    pub token: Option<Token>,
}

/// What a logout did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedOut {
    /// Whether anything was locked_record.
    pub had_login: bool,
    /// What was done at the service.
    pub at_service: Revoked,
    /// Whether logins that other issuers gave were forgotten too, without being revoked.
    pub others_forgotten: bool,
}

impl Broker {
    /// Logs in and saves what the service gave. What was held before is kept until then, and gone after.
    pub async fn login(&self, provider: &str, login: Login) -> Result<LoggedIn> {
        self.run(provider, |operation| operation.login(login)).await
    }

    /// A token, by a login if there is no other way. Of all who ask so at once, one begins a login, and the others
    /// get what comes of it; who logged in gets that too.
    pub async fn token_or_login(
        &self,
        provider: &str,
        request: &TokenRequest,
    ) -> Result<(Token, Option<LoggedIn>)> {
        let request = request.clone();
        self.run(provider, |operation| async move { operation.token_or_login(&request).await }).await
    }

    /// The refresh token that is locked_record, to log in with on another host. Where the service replaces refresh tokens at each
    /// use, only one of the two hosts keeps the login.
    pub fn refresh_token(&self, provider: &str) -> Result<Secret> {
        let named = |error: Error| error.for_provider(provider);
        let slot = self.slot(provider).map_err(named)?;
        if !slot.entry.provider.takes_refresh_token() {
            return Err(named(Error::usage("this kind has no login to take along"))
                .with_hint("the other host needs the secret itself, or a login of its own"));
        }
        let seen = self.inner.reload(&slot).map_err(named)?;
        let grant = seen.record.usable_grant().map(|grant| grant.secret().clone());
        grant.ok_or_else(|| {
            let why = seen.record.why_empty().map(|why| format!(" ({why})")).unwrap_or_default();
            Error::login_required(format!("no refresh token is held{why}"))
                .with_hint(Hint::LogIn)
                .for_provider(provider)
        })
    }

    /// Revokes at the service what can be revoked there, then forgets the record. If the service cannot be
    /// reached the record stays. With `local` the service is not asked.
    pub async fn logout(&self, provider: &str, local: bool) -> Result<LoggedOut> {
        self.run(provider, move |operation| operation.logout(local)).await
    }
}

impl Operation {
    async fn login(self, login: Login) -> Result<LoggedIn> {
        let mut locked_record = self.hold().await?;
        self.log_in(&mut locked_record, login).await
    }

    async fn token_or_login(self, request: &TokenRequest) -> Result<(Token, Option<LoggedIn>)> {
        let serves = |record: &Record| self.serves(record, request).cloned();
        let mut locked_record = match self.acquire(|record| Ok(serves(record))).await? {
            Acquired::Lock(locked_record) => locked_record,
            Acquired::Found(token) => return Ok((token, None)),
        };
        if let Some(token) = serves(&locked_record.record) {
            return Ok((token, None));
        }
        match self.renew_held(&mut locked_record, request).await {
            Err(error) if error.kind() == ErrorKind::LoginRequired => {}
            renewed => return Ok((renewed?, None)),
        }
        let logged_in = match self.log_in(&mut locked_record, Login::Usual).await {
            Ok(logged_in) => logged_in,
            Err(error) => {
                self.note_failure(&mut locked_record, request, &error).await;
                return Err(error);
            }
        };
        let token = match serves(&locked_record.record) {
            Some(token) => token,
            None => self.exchange(&mut locked_record, request).await?,
        };
        Ok((token, Some(logged_in)))
    }

    async fn log_in(&self, locked_record: &mut LockedRecord, login: Login) -> Result<LoggedIn> {
        locked_record.locked.probe_login().await?;
        let whose = self.inner.whose_token(&self.slot);
        let mut change = self.provider().login(&self.context, &login).await?;
        let (unfit, expired) = (change.take_unfit(), change.take_expired(self.context.now()));
        locked_record.record = locked_record.record.for_new_login(self.provider().issuer());
        let change = self.inner.note_whose(&self.slot, whose.as_ref(), change);
        self.save(locked_record, of_new_login(change)).await?;
        let error = expired.map(|token| self.arrived_expired(&token)).or_else(|| unfit.then(arrived_unfit));
        if let Some(error) = error {
            let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            self.context.person().notify(&format!("{}: {}{hint}", self.slot.name, error.message()));
        }
        let end = |token: &&Token| token.expires_at().unwrap_or(DateTime::<Utc>::MAX_UTC);
        let newest = locked_record.record.tokens().map(|(_, token)| token).max_by_key(end);
        Ok(LoggedIn { account: locked_record.record.account().map(str::to_owned), token: newest.cloned() })
    }

    async fn logout(self, local: bool) -> Result<LoggedOut> {
        let mut locked_record = self.hold().await?;
        let others_forgotten = locked_record.record.has_other_issuers();
        if locked_record.record.is_empty() && !others_forgotten && locked_record.unreadable.is_none() {
            return Ok(LoggedOut { had_login: false, at_service: Revoked::default(), others_forgotten });
        }
        let at_service = if local || locked_record.record.is_empty() {
            Revoked::default()
        } else {
            self.revoke(&mut locked_record).await.map_err(|error| not_logged_out(&error))?
        };
        self.notify_quarantined(locked_record.locked.forget().await?);
        self.context.nothing_issued();
        let nothing = Record::new(&self.slot.name, self.provider().issuer().clone());
        self.inner.remember(&self.slot, nothing, false);
        Ok(LoggedOut { had_login: true, at_service, others_forgotten })
    }

    async fn revoke(&self, locked_record: &mut LockedRecord) -> Result<Revoked> {
        let needed = self.provider().needed_to_revoke(&locked_record.record);
        if let Some(request) = needed
            && locked_record.record.usable_token(request.scopes(), self.context.now()).is_none()
        {
            match self.exchange(locked_record, &request).await {
                // Without a login nothing can be revoked with it either; the provider says what is left to do.
                Err(error) if error.kind() != ErrorKind::LoginRequired => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        self.provider().revoke(&self.context, &locked_record.record).await
    }

    async fn hold(&self) -> Result<LockedRecord> {
        match self.acquire(|_| Ok(None::<std::convert::Infallible>)).await? {
            Acquired::Lock(locked_record) => Ok(*locked_record),
            Acquired::Found(never) => match never {},
        }
    }
}

/// The login stays stored where the service could not revoke it.
fn not_logged_out(error: &Error) -> Error {
    let message = format!("not logged out: {}", error.message());
    error.clone().with_message(message).with_hint(Hint::LogOutLocally)
}
