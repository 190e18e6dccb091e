//! Credentials that the service refused.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Failure, Grant, Record};
use crate::error::{Error, ErrorCode, Hint};
use crate::token::TokenRequest;

/// A refusal names an interrupted renewal of this time before, although a later renewal succeeded.
const INTERRUPTION_NAMED_FOR: TimeDelta = TimeDelta::days(1);

impl Record {
    /// Returns a [`crate::error::ErrorKind::LoginRequired`] error that says why there is no usable grant.
    pub fn login_missing(&self) -> Error {
        match self.grant() {
            Some(_) => Error::new(
                ErrorCode::GrantRefused,
                "the login has expired: the service no longer accepts its refresh token",
            ),
            None => Error::login_required("not logged in"),
        }
    }

    /// Fails if the service has refused the password with this [`crate::token::fingerprint`], because a repeated wrong
    /// password may lock the account. Does not check a forced request ([`TokenRequest::force`]).
    pub fn check_password(
        &self,
        secret_fingerprint: &str,
        request: &TokenRequest,
    ) -> crate::error::Result<()> {
        let is_same = |failure: &Failure| failure.secret_fingerprint.as_deref() == Some(secret_fingerprint);
        if request.force || !self.0.current.failures.values().any(is_same) {
            return Ok(());
        }
        let message =
            "the service has refused this password before; the broker does not send it again automatically";
        Err(Error::new(ErrorCode::PasswordRefused, message)
            .with_secret_fingerprint(secret_fingerprint.to_owned())
            .with_hint(Hint::CorrectPassword))
    }

    /// Marks the grant as refused, or restores the refresh token before it: see [`Grant::restored`].
    pub(super) fn refuse_grant(&mut self, now: DateTime<Utc>) {
        if let Some(previous) = self.grant().and_then(Grant::restored) {
            self.set_grant(previous);
        } else if let Some(grant) = &mut self.0.current.grant {
            grant.0.refused_at = Some(now);
        }
    }

    /// Forgets the refresh token before the grant, because the service accepted the grant.
    pub(crate) fn forget_previous_grant(&mut self) {
        if let Some(grant) = &mut self.0.current.grant {
            grant.0.previous = None;
        }
    }

    /// Stores when a renewal was interrupted, because the service may end the login later.
    pub(crate) fn set_interrupted(&mut self, at: DateTime<Utc>) {
        self.0.current.interrupted_at = Some(at);
    }

    /// Returns when a renewal was interrupted before the service refused the grant.
    pub(crate) fn interruption(&self) -> Option<DateTime<Utc>> {
        let grant = self.grant()?;
        let refused_at = grant.refused_at()?;
        let is_related = |at: &DateTime<Utc>| (refused_at - *at).abs() <= INTERRUPTION_NAMED_FOR;
        grant.sent_at().or_else(|| self.0.current.interrupted_at.filter(is_related))
    }

    /// Returns why a login is needed, if the service refused the grant.
    pub(crate) fn refusal_message(&self) -> Option<String> {
        let grant = self.grant()?;
        let refused_at = grant.refused_at()?.format("%F %T UTC");
        let interrupted_at = self.interruption().map(|at| at.format("%F %T UTC"));
        Some(match interrupted_at {
            Some(at) if grant.sent_at().is_some() => format!(
                "a renewal was interrupted at {at}, and the service had already replaced the refresh token"
            ),
            Some(at) => format!(
                "the service refused the refresh token at {refused_at}, after a renewal was interrupted at {at}: \
                 the interrupted request may have used an older refresh token once more, which ends a login"
            ),
            None => format!("the service refused the refresh token at {refused_at}"),
        })
    }
}
