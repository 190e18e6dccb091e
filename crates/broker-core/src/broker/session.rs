//! Logging in and out.

use chrono::{DateTime, Utc};

use super::Broker;
use super::derived::of_new_login;
use super::operation::{Held, Operation, Turn};
use super::renew::arrived_unfit;
use crate::{Error, ErrorKind, Login, Record, Result, Revoked, Secret, Token, TokenRequest};

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
    /// Whether anything was held.
    pub held: bool,
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

    /// The refresh token that is held, to log in with on another host. Where the service replaces refresh tokens at each
    /// use, only one of the two hosts keeps the login.
    pub fn refresh_token(&self, provider: &str) -> Result<Secret> {
        let named = |error: Error| error.of_provider(provider);
        let slot = self.slot(provider).map_err(named)?;
        if !slot.entry.provider.takes_refresh_token() {
            return Err(named(Error::usage("this kind has no login to take along"))
                .with_hint("the other host needs the secret itself, or a login of its own"));
        }
        let seen = self.inner.look_again(&slot).map_err(named)?;
        let grant = seen.record.usable_grant().map(|grant| grant.secret().clone());
        grant.ok_or_else(|| {
            let why = seen.record.why_empty().map(|why| format!(" ({why})")).unwrap_or_default();
            Error::login_required(format!("no refresh token is held{why}"))
                .with_hint(format!("run: broker login {provider}"))
                .of_provider(provider)
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
        let mut held = self.hold().await?;
        self.log_in(&mut held, login).await
    }

    async fn token_or_login(self, request: &TokenRequest) -> Result<(Token, Option<LoggedIn>)> {
        let serves = |record: &Record| self.serves(record, request).cloned();
        let mut held = match self.turn(|record| Ok(serves(record))).await? {
            Turn::Mine(held) => held,
            Turn::Found(token) => return Ok((token, None)),
        };
        if let Some(token) = serves(&held.record) {
            return Ok((token, None));
        }
        match self.renew_held(&mut held, request).await {
            Err(error) if error.kind() == ErrorKind::LoginRequired => {}
            renewed => return Ok((renewed?, None)),
        }
        let logged_in = match self.log_in(&mut held, Login::Usual).await {
            Ok(logged_in) => logged_in,
            Err(error) => {
                self.note_failure(&mut held, request, &error).await;
                return Err(error);
            }
        };
        let token = match serves(&held.record) {
            Some(token) => token,
            None => self.exchange(&mut held, request).await?,
        };
        Ok((token, Some(logged_in)))
    }

    async fn log_in(&self, held: &mut Held, login: Login) -> Result<LoggedIn> {
        held.locked.probe_login().await?;
        let whose = self.inner.whose_token(&self.slot);
        let mut change = self.provider().login(&self.context, &login).await?;
        let (unfit, expired) = (change.take_unfit(), change.take_expired(self.context.now()));
        held.record = held.record.for_new_login(self.provider().issuer());
        let change = self.inner.note_whose(&self.slot, whose.as_ref(), change);
        self.save(held, of_new_login(change)).await?;
        let error = expired.map(|token| self.arrived_expired(&token)).or_else(|| unfit.then(arrived_unfit));
        if let Some(error) = error {
            let hint = error.hint().unwrap_or_default();
            self.context.person().tell(&format!("{}: {} ({hint})", self.slot.name, error.message()));
        }
        let end = |token: &&Token| token.expires_at().unwrap_or(DateTime::<Utc>::MAX_UTC);
        let newest = held.record.tokens().map(|(_, token)| token).max_by_key(end);
        Ok(LoggedIn { account: held.record.account().map(str::to_owned), token: newest.cloned() })
    }

    async fn logout(self, local: bool) -> Result<LoggedOut> {
        let mut held = self.hold().await?;
        let others_forgotten = held.record.has_parked();
        if held.record.is_empty() && !others_forgotten && held.unreadable.is_none() {
            return Ok(LoggedOut { held: false, at_service: Revoked::default(), others_forgotten });
        }
        let at_service = if local || held.record.is_empty() {
            Revoked::default()
        } else {
            self.revoke(&mut held).await.map_err(|error| kept(&error, &self.slot.name))?
        };
        self.tell_aside(held.locked.forget().await?);
        self.context.nothing_given();
        let nothing = Record::new(&self.slot.name, self.provider().issuer().clone());
        self.inner.remember(&self.slot, nothing, false);
        Ok(LoggedOut { held: true, at_service, others_forgotten })
    }

    async fn revoke(&self, held: &mut Held) -> Result<Revoked> {
        let needed = self.provider().needed_to_revoke(&held.record);
        if let Some(request) = needed
            && held.record.usable_token(request.scopes(), self.context.now()).is_none()
        {
            match self.exchange(held, &request).await {
                // Without a login nothing can be revoked with it either; the provider says what is left to do.
                Err(error) if error.kind() != ErrorKind::LoginRequired => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        self.provider().revoke(&self.context, &held.record).await
    }

    async fn hold(&self) -> Result<Held> {
        match self.turn(|_| Ok(None::<std::convert::Infallible>)).await? {
            Turn::Mine(held) => Ok(*held),
            Turn::Found(never) => match never {},
        }
    }
}

fn kept(error: &Error, provider: &str) -> Error {
    let hint = format!(
        "what could not be revoked is kept; to forget it all the same: broker logout {provider} --local"
    );
    Error::new(error.kind(), format!("not logged out: {}", error.message()))
        .with_hint(hint)
        .with_retry_after(error.retry_after())
}
