//! The refresh intent: the time at which a refresh token was sent, stored until the response is saved. After a
//! crash, the intent shows that the service may have replaced the refresh token.

use std::time::Duration;

use super::decide::Decision;
use super::task::LockedRecord;
use crate::context::backoff::TELL_AFTER;
use crate::error::{Error, ErrorCode, ErrorKind, Hint, Result};
use crate::record::Intent;
use crate::record::RecordUpdate;
use crate::store::Loaded;
use crate::token::{Token, TokenRequest};

/// A request without a response may be on its way for this long, or for the timeout of requests if that is shorter.
/// During this time, its refresh token is not sent again: a service that gets it twice may end the login.
const QUIET_TIME: Duration = Duration::from_secs(10);

/// The note in the record that an exchange is sending the refresh token.
pub(super) struct RefreshIntent {
    /// The intent of an earlier exchange, which sent the same refresh token without getting a response.
    before: Intent,
    noted: Intent,
}

impl LockedRecord<'_> {
    /// Returns how long an earlier request with the refresh token may still be on its way. First corrects a time of
    /// sending in the future, because otherwise every call would wait.
    async fn quiet_time_left(&mut self, request: &TokenRequest) -> Result<Duration> {
        let (now, intent) = (self.task.operation.now(), self.record.intent());
        let Some(sent_at) = intent.unanswered_at() else { return Ok(Duration::ZERO) };
        if !self.task.sends_grant(&self.record, request) {
            return Ok(Duration::ZERO);
        }
        if sent_at > now {
            // The clock was set back.
            self.record.set_intent(intent.until(now));
            self.write().await?;
        }
        let passed = (now - sent_at).to_std().unwrap_or_default();
        Ok(self.task.operation.timeout().min(QUIET_TIME).saturating_sub(passed))
    }

    /// Returns the stored token, if it is valid and a renewal would first have to wait: see [`Self::wait_quiet_time`].
    pub(super) async fn token_for_quiet_time(&mut self, request: &TokenRequest) -> Result<Option<Token>> {
        let waits = !self.quiet_time_left(request).await?.is_zero();
        Ok(self.task.fitting_token(&self.record, request).filter(|_| waits).cloned())
    }

    /// Waits while an earlier request with the refresh token may be on its way. Returns the token that another program
    /// stored in this time, if that token satisfies the request.
    pub(super) async fn wait_quiet_time(&mut self, request: &TokenRequest) -> Result<Option<Token>> {
        let left = self.quiet_time_left(request).await?;
        if left.is_zero() {
            return Ok(None);
        }
        let why = "an earlier renewal was interrupted, and the service may still be processing its request";
        if left > self.task.inner.wait_limit {
            return Err(Error::new(ErrorCode::LockTimeout, why).with_hint(Hint::RetryLater));
        }
        self.task.operation.pause(left.min(TELL_AFTER)).await?;
        let left = left.saturating_sub(TELL_AFTER);
        if !left.is_zero() {
            let (name, seconds) = (&self.task.slot.name, left.as_secs().max(1));
            self.task.operation.prompt().notify(&format!("{name}: waiting {seconds} s more: {why}"));
            self.task.operation.pause(left).await?;
        }
        self.reload_login().await?;
        self.token_of_changed_login(request).await
    }

    /// Prepares an exchange: checks that the store can save the response. If the exchange will send the refresh token,
    /// first saves the time of sending in the record: the refresh intent.
    pub(super) async fn open_refresh_intent(
        &mut self,
        request: &TokenRequest,
    ) -> Result<Option<RefreshIntent>> {
        self.task.operation.check_not_cancelled().await?;
        self.task.operation.delivery.begin(None);
        let now = self.task.operation.now();
        let spends = self.task.sends_grant(&self.record, request);
        // A provider without a login or secret sends no request, so the store need not be writable.
        if spends || self.task.can_renew(&self.record) {
            self.lock.probe(&self.record, 1 + usize::from(spends)).await?;
        }
        if !spends {
            return Ok(None);
        }
        let before = self.record.intent();
        if let Some(at) = before.sent_at {
            tracing::info!(%at, "an earlier renewal was interrupted; the refresh token is sent once more");
        }
        // Delays termination signals: otherwise the record might say that an unsent refresh token was sent.
        self.task.operation.in_flight.begin();
        let noted = before.send(now);
        self.record.set_intent(noted);
        self.write().await?;
        self.task.operation.delivery.begin(self.lock.login_check());
        Ok(Some(RefreshIntent { before, noted }))
    }

    /// Clears the refresh intent after an exchange, or restores the intent of an earlier exchange. Keeps the
    /// intent if a response with a new refresh token may be lost. The caller saves the record.
    pub(super) fn close_refresh_intent(
        &mut self,
        intent: Option<&RefreshIntent>,
        exchanged: &Result<RecordUpdate>,
    ) {
        let Some(RefreshIntent { before, noted }) = intent else { return };
        let delivery = self.task.operation.delivery.get();
        let lost = delivery.lost_response();
        let sent = Intent { answered: !delivery.unanswered, ..*noted };
        let record = &mut self.record;
        let left = match exchanged {
            Ok(update) if update.refuses_grant() && lost => sent,
            Ok(update) if update.refuses_grant() => *before,
            Ok(update) => {
                if !update.tokens.is_empty() {
                    record.forget_previous_grant();
                }
                if let Some(at) = noted.sent_at.filter(|_| lost || before.sent_at.is_some()) {
                    record.set_interrupted(at);
                }
                Intent::default()
            }
            Err(_) if lost => sent,
            // Even a malformed response may mean that the service replaced the refresh token.
            Err(error) if delivery.answered && error.kind() == ErrorKind::Unavailable => sent,
            Err(_) => *before,
        };
        record.set_intent(left);
        self.unsaved = left != *noted;
    }

    /// Reloads the login if another program replaced it, or may have, before the refresh token was sent. Returns whether
    /// the login was reloaded.
    pub(super) async fn reload_superseded(&mut self, intent: Option<&RefreshIntent>) -> Result<bool> {
        let Some(RefreshIntent { noted, .. }) =
            intent.filter(|_| self.task.operation.delivery.get().superseded.is_some())
        else {
            return Ok(false);
        };
        tracing::info!("another program may have changed the login; the refresh token was not sent");
        let closed = self.record.intent();
        self.reload_login().await?;
        // The stored record still has the intent of this exchange.
        if self.record.intent() == *noted {
            self.record.set_intent(closed);
        }
        Ok(true)
    }

    /// Saves a login that another program changed, and returns its token if the token satisfies the request.
    pub(super) async fn token_of_changed_login(&mut self, request: &TokenRequest) -> Result<Option<Token>> {
        let Decision::Use(token) = self.task.decide(&self.record, request) else { return Ok(None) };
        let token = token.clone();
        self.save(RecordUpdate::default()).await?;
        Ok(Some(token))
    }

    async fn reload_login(&mut self) -> Result<()> {
        let loaded = self.lock.load().await?;
        (self.record, self.unreadable) = self.task.inner.read(&self.task.slot, loaded);
        Ok(())
    }

    /// Reloads the record and returns whether the refresh token has changed. Programs that take no lock, such as the
    /// service's own tools, may have replaced the refresh token.
    pub(super) async fn reload_changed_grant(&mut self) -> Result<bool> {
        let (Loaded::Record(record) | Loaded::FromFallback(record)) = self.lock.load().await? else {
            return Ok(false);
        };
        let record = self.task.slot.usable(*record, self.task.operation.now());
        self.record.0.format.clone_from(&record.0.format);
        let changed = match (record.usable_grant(), self.record.usable_grant()) {
            (Some(now), Some(before)) => !now.secret().same_as(before.secret()),
            (Some(_), None) => true,
            // Another program has logged out, unless an unreadable login file hides the refresh token.
            (None, Some(_)) => record.grant().is_none() && record.0.login_problem.is_none(),
            (None, None) => false,
        };
        if changed {
            self.record = record;
        }
        Ok(changed)
    }
}
