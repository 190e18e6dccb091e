//! Renewal: gets new tokens by exchanges with the service.

use chrono::{DateTime, Utc};

use super::decide::{Decision, decide, is_long_enough, valid_token};
use super::task::{Acquired, LockedRecord, ProviderTask};
use crate::error::{Error, ErrorCode, ErrorKind, Hint, Result};
use crate::provider::NextExchange;
use crate::record::{Failure, Record, RecordUpdate};
use crate::token::{Token, TokenRequest};

/// The limit of exchanges for one token. Three may be necessary (login, refresh, new API token), and one more after
/// each refusal.
const MOST_EXCHANGES: usize = 6;

impl ProviderTask {
    /// Gets a token by an exchange, or waits for another caller's exchange. After a failure, returns a stored token
    /// that is still valid.
    pub(super) async fn renew(self, request: &TokenRequest) -> Result<Token> {
        // The caller could not read an encrypted record. Its key is in memory now.
        if let Some(token) = self.inner.stored(&self.slot.name, request)? {
            return Ok(token);
        }
        self.restore().await;
        match self.try_renew(request).await {
            Ok(token) => Ok(token),
            Err(error) => {
                let cached = self.inner.cached(&self.slot).await.ok();
                let token = cached.and_then(|cached| self.valid_token(&cached.record, request).cloned());
                self.fall_back(token, error)
            }
        }
    }

    /// Warns the user of a failed renewal, and returns the stored token. Without a stored token, returns `error`.
    pub(super) fn fall_back(&self, token: Option<Token>, error: Error) -> Result<Token> {
        let Some(token) = token else { return Err(error) };
        let until =
            token.expires_at().map_or_else(String::new, |at| format!(" until {}", at.format("%F %T UTC")));
        let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        let name = &self.slot.name;
        self.operation.prompt().notify(&format!(
            "{name}: cannot renew the token; the stored token is valid{until}: {}{hint}",
            error.message()
        ));
        Ok(token)
    }

    /// Whether the provider can get a token with `record`, without asking the user.
    pub(super) fn can_renew(&self, record: &Record) -> bool {
        let (now, request) = (self.operation.now(), TokenRequest::new());
        self.provider().next_exchange(record, &request, now) != NextExchange::NeedsLogin
    }

    /// Whether the next exchange sends the grant in `record`.
    pub(super) fn sends_grant(&self, record: &Record, request: &TokenRequest) -> bool {
        self.provider().next_exchange(record, request, self.operation.now()) == NextExchange::SendsGrant
    }

    pub(super) fn decide<'r>(&self, record: &'r Record, request: &TokenRequest) -> Decision<'r> {
        decide(record, request, self.operation.began_at(), self.operation.now())
    }

    pub(super) fn valid_token<'r>(&self, record: &'r Record, request: &TokenRequest) -> Option<&'r Token> {
        valid_token(record, request, self.operation.began_at(), self.operation.now())
    }

    /// Returns the stored token if it is valid and was issued for the requested lifetime.
    pub(super) fn fitting_token<'r>(&self, record: &'r Record, request: &TokenRequest) -> Option<&'r Token> {
        self.valid_token(record, request).filter(|token| is_long_enough(token, request))
    }

    async fn try_renew(&self, request: &TokenRequest) -> Result<Token> {
        let found = |record: &Record| match self.decide(record, request) {
            Decision::Use(token) | Decision::Renew(token) => Some(token.clone()),
            Decision::Need => None,
        };
        // A caller with a valid stored token does not wait for another task's renewal.
        let process_lock = if let Some(stored) = found(&self.inner.cached(&self.slot).await?.record) {
            match self.slot.process_mutex.clone().try_lock_owned() {
                Ok(process_lock) => process_lock,
                Err(_) => return Ok(stored),
            }
        } else {
            let process_lock = self.process_lock().await?;
            if let Some(token) = found(&self.inner.cached(&self.slot).await?.record) {
                return Ok(token);
            }
            process_lock
        };
        let mut locked = match self.acquire_with(process_lock, |record| Ok(found(record))).await? {
            Acquired::Lock(locked) => locked,
            Acquired::Found(token) => return Ok(token),
        };
        if let Decision::Use(token) = self.decide(&locked.record, request) {
            return Ok(token.clone());
        }
        if let Some(token) = locked.token_for_quiet_time(request).await? {
            return Ok(token);
        }
        locked.renew(request).await
    }

    /// Returns an error while the service's `Retry-After` forbids requests. One forced request may ask during the pause.
    pub(super) fn throttled(&self, record: &Record, request: &TokenRequest) -> Option<Error> {
        let now = self.operation.now();
        let (until, failure) = record.throttle(now)?;
        if request.force && !failure.asked_in_pause {
            return None;
        }
        let (end, why) = (until.format("%F %T UTC"), &failure.message);
        let message = format!("the service asked for a pause until {end} ({why})");
        let error = Error::new(ErrorCode::RateLimited, message);
        Some(error.with_retry_after((until - now).to_std().ok()).with_hint(Hint::RetryLater))
    }

    /// Returns another caller's failure, if that caller failed after the current operation began.
    fn failed_while_waiting(&self, record: &Record, request: &TokenRequest) -> Option<Error> {
        // A failure with a future time was stored before the clock was set back.
        let while_waiting = |at| self.operation.began_at() < at && at <= self.operation.now();
        let failure = record.failure(request.scopes()).filter(|failure| while_waiting(failure.at))?;
        let error = failure.error();
        Some(if error.is_transient() { error.with_hint(Hint::RetryLater) } else { error })
    }

    /// Removes invalid and expired new tokens from the update, and returns the error to report. The other tokens get the
    /// provider's header.
    pub(super) fn take_unusable(&self, update: &mut RecordUpdate) -> Option<Error> {
        update.tokens.iter_mut().for_each(|(_, token)| token.set_header(&self.slot.entry.info.header));
        let now = self.operation.now();
        let (invalid, expired) = (update.take_invalid(), update.take_expired(now));
        if invalid {
            let message = "the new token is empty or contains control characters";
            return Some(Error::new(ErrorCode::BadResponse, message).with_hint(Hint::RetryLater));
        }
        Some(self.expired(&expired?, now))
    }

    /// Returns the error for a new token that has already expired.
    fn expired(&self, token: &Token, now: DateTime<Utc>) -> Error {
        let expires_at = token.expires_at().unwrap_or_default();
        let at = expires_at.format("%F %T UTC");
        let error = |message| Error::new(ErrorCode::TokenExpired, message);
        if let Some(program) = &self.info().program {
            return error(format!("program `{program}` returned a token that expired at {at}")).with_hint(
                "run the `command` of this provider in a terminal: log in with that program again, or clear its cache",
            );
        }
        let service_time = token.service_time(now);
        // The clock is no reason for an expiry that is longer ago than the clocks differ.
        if now - expires_at >= (service_time - now).abs() {
            return error(format!("the service issued a token that expired at {at}")).with_hint(
                "request a new token at the service, or revoke the old one there; then try again",
            );
        }
        let (ours, theirs) = (now.format("%F %T UTC"), service_time.format("%F %T UTC"));
        error(format!(
            "the service issued a token that expired at {at}; this machine's clock says {ours}, the service's {theirs}"
        ))
        .with_hint("set this machine's clock")
    }
}

impl LockedRecord<'_> {
    /// Gets a new token, unless another caller's attempt has just failed or the service asked for a pause.
    pub(super) async fn renew(&mut self, request: &TokenRequest) -> Result<Token> {
        let record = &self.record;
        if let Some(error) =
            self.task.failed_while_waiting(record, request).or_else(|| self.task.throttled(record, request))
        {
            return Err(error);
        }
        self.exchange(request).await
    }

    /// Gets a token in at most [`MOST_EXCHANGES`] exchanges. On an error, stores the failure in the record.
    pub(super) async fn exchange(&mut self, request: &TokenRequest) -> Result<Token> {
        let exchanged = self.exchanges(request).await.map_err(|error| explain(error, self));
        if let Err(error) = &exchanged {
            self.note_failure(request, error).await;
        }
        exchanged
    }

    /// Repeats exchanges and saves each result, until the record has the token.
    async fn exchanges(&mut self, request: &TokenRequest) -> Result<Token> {
        let (mut without_token, mut unsent) = (0, None);
        for _ in 0..MOST_EXCHANGES {
            if let Some(token) = self.wait_quiet_time(request).await? {
                return Ok(token);
            }
            let source_owner = self.task.inner.source_owner(&self.task.slot);
            let intent = self.open_refresh_intent(request).await?;
            let exchanged = self.task.provider().exchange(&self.task.operation, &self.record, request).await;
            self.close_refresh_intent(intent.as_ref(), &exchanged);
            let changed = match &exchanged {
                Ok(update) => update.refuses_grant() && self.reload_changed_grant().await?,
                Err(_) => self.reload_superseded(intent.as_ref()).await?,
            };
            if changed {
                if let Some(token) = self.token_of_changed_login(request).await? {
                    return Ok(token);
                }
                unsent = exchanged.err();
                continue;
            }
            let mut update = exchanged?;
            let unusable = self.task.take_unusable(&mut update);
            without_token +=
                usize::from(intent.is_some() && update.has_secrets() && update.tokens.is_empty());
            let requested = update.requested_token(request.scopes(), request.expires);
            let update = self.task.inner.note_source_owner(&self.task.slot, source_owner.as_ref(), update);
            self.save(update).await?;
            if let Some(error) = unusable {
                return Err(error);
            }
            if let Some(token) = requested {
                return Ok(token);
            }
            if without_token > 1 {
                let issuer = &self.task.info().issuer.endpoint;
                let message = format!("{issuer} replaced the refresh token but issued no access token");
                return Err(Error::new(ErrorCode::BadResponse, message).with_hint(Hint::RetryLater));
            }
        }
        Err(unsent.unwrap_or_else(|| {
            let message = format!("the service issued no token in {MOST_EXCHANGES} exchanges");
            Error::new(ErrorCode::BadResponse, message)
        }))
    }

    /// Stores a failure for waiting callers, later calls and [`crate::broker::Status`]. If the save fails, the caller still
    /// gets the original error.
    pub(super) async fn note_failure(&mut self, request: &TokenRequest, error: &Error) {
        // Another caller may be willing to wait longer than this one.
        let by_service = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Refused)
            && error.code() != ErrorCode::LockTimeout;
        let is_noted = by_service || (error.kind() == ErrorKind::LoginRequired && !self.record.is_empty());
        if self.unreadable.is_some() || !(is_noted || self.unsaved) {
            return;
        }
        // Another host may have saved a newer refresh token, if the lock does not work across hosts.
        if !self.unsaved && self.reload_changed_grant().await.unwrap_or(false) {
            return;
        }
        if is_noted {
            let token = self.record.token(request.scopes());
            let pause = token.map(|token| token.window().retry_pause(fastrand::f64())).unwrap_or_default();
            let latest = self.record.latest_pause();
            let failure = Failure::new(error, self.task.operation.now(), pause, latest);
            self.record.set_failure(request.scopes(), failure);
        }
        if let Err(error) = self.save(RecordUpdate::default()).await {
            tracing::warn!(%error, "cannot save the error of the failed renewal in the record");
        }
    }
}

/// Adds to an error that asks for a login the reason why the stored login cannot be used.
fn explain(error: Error, locked: &LockedRecord<'_>) -> Error {
    if error.kind() != ErrorKind::LoginRequired {
        return error;
    }
    let record = &locked.record;
    if record.interruption().is_some()
        && let Some(refusal_message) = record.refusal_message()
    {
        return Error::new(ErrorCode::GrantRefused, format!("the login has expired: {refusal_message}"));
    }
    let unreadable = locked.unreadable.as_ref();
    let why = unreadable.map(|why| format!("{why}; the next login moves the unreadable file away"));
    let Some(why) = why.or_else(|| locked.record.why_empty()) else { return error };
    let message = format!("{} ({why})", error.message());
    error.with_message(message)
}
