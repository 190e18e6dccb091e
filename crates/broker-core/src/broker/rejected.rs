//! Replaces a stored token that a service rejected with 401.

use chrono::TimeDelta;

use super::task::{Acquired, LockedRecord, ProviderTask};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::record::Record;
use crate::token::{Secret, Token, TokenRequest};

/// A replacement token is not replaced again within this time: a third token would probably be rejected too.
const REPLACE_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(30);

impl ProviderTask {
    pub(super) async fn replace(self, request: &TokenRequest, rejected: Option<Secret>) -> Result<Token> {
        let other = |record: &Record| self.other(record, request, rejected.as_ref());
        let mut locked = match self.acquire(other).await? {
            Acquired::Lock(locked) => locked,
            Acquired::Found(token) => return Ok(token),
        };
        if let Some(token) = other(&locked.record)? {
            return Ok(token);
        }
        let mut bad = rejected.clone();
        if self.is_rejected(&locked.record, request, rejected.as_ref()) {
            if let Some(error) = self.throttled(&locked.record, request) {
                return Err(error);
            }
            if !self.can_renew(&locked.record) {
                return locked.end_login(request).await;
            }
            self.operation.check_not_cancelled().await?;
            bad = locked.record.token(request.scopes()).map(|token| token.secret().clone());
            locked.record.reject_token(request.scopes(), self.operation.now());
            locked.write().await?;
            self.inner.cache(&self.slot, locked.record.clone(), false);
        }
        let token = locked.renew(request).await?;
        if bad.is_some_and(|bad| bad.same_as(token.secret())) {
            return Err(Error::new(ErrorCode::TokenRejected, "the service issued the rejected token again")
                .with_hint("check the permissions of the account, and the status of the service"));
        }
        Ok(token)
    }

    /// Returns the stored token, unless that token is the rejected one.
    fn other(
        &self,
        record: &Record,
        request: &TokenRequest,
        rejected: Option<&Secret>,
    ) -> Result<Option<Token>> {
        if !self.is_rejected(record, request, rejected) {
            return Ok(self.valid_token(record, request).cloned());
        }
        if self.was_replaced_recently(record, request) {
            let seconds = REPLACE_AGAIN_AFTER.num_seconds();
            return Err(Error::new(
                ErrorCode::TokenRejected,
                format!("the service also rejected the new token, issued less than {seconds} s ago"),
            )
            .with_hint(format!(
                "check the permissions of the account, and the status of the service; \
                 the broker requests another token no earlier than {seconds} s after this one"
            )));
        }
        Ok(None)
    }

    fn is_rejected(&self, record: &Record, request: &TokenRequest, rejected: Option<&Secret>) -> bool {
        record.token(request.scopes()).is_some_and(|stored| match rejected {
            Some(rejected) => stored.secret().same_as(rejected),
            // After a recent replacement, the service may have rejected the replaced token, not the stored one.
            None => !self.was_replaced_recently(record, request),
        })
    }

    /// Whether the stored token replaced a rejected one less than [`REPLACE_AGAIN_AFTER`] ago.
    fn was_replaced_recently(&self, record: &Record, request: &TokenRequest) -> bool {
        let at = record.rejected_at(request.scopes());
        at.is_some_and(|at| (TimeDelta::zero()..REPLACE_AGAIN_AFTER).contains(&(self.operation.now() - at)))
    }
}

impl LockedRecord<'_> {
    /// Handles the rejection of a token that only a login replaces. A token without an expiry is not used again.
    async fn end_login(&mut self, request: &TokenRequest) -> Result<Token> {
        let is_endless = |token: &Token| token.expires_at().is_none();
        if !self.record.token(request.scopes()).is_some_and(is_endless) {
            return self.exchange(request).await;
        }
        self.record.reject_token(request.scopes(), self.task.operation.now());
        self.write().await?;
        self.task.inner.cache(&self.task.slot, self.record.clone(), false);
        self.exchange(request).await.map_err(|error| match error.kind() {
            ErrorKind::LoginRequired => {
                error.with_message("the service rejected the token, and no refresh token is stored")
            }
            _ => error,
        })
    }
}
