//! A token that the service it is for does not take (401).

use chrono::TimeDelta;

use super::Broker;
use super::operation::{Acquired, Operation};
use crate::{Error, Record, Result, Secret, Token, TokenRequest};

/// For this long after a token was made because another was rejected, no third is made for that: the fault is not
/// the token's.
const SHORT_TIME: TimeDelta = TimeDelta::seconds(30);

impl Broker {
    /// A token in the place of one that the service it is for does not take, although it should still be valid (401,
    /// RFC 6750 section 3.1). `rejected` is that token, or the held one if it is not given.
    ///
    /// If another is held by now, it is returned. Else exactly that token is forgotten, and one exchange is made for
    /// all who complain, at most one in 30 seconds. Within these, who complains of the new token by name gets
    /// [`crate::ErrorKind::Unavailable`], and who names none gets the new token. While the service asks to be left
    /// alone nothing is forgotten.
    pub async fn replace_rejected(
        &self,
        provider: &str,
        request: &TokenRequest,
        rejected: Option<Secret>,
    ) -> Result<Token> {
        let slot = self.slot(provider)?;
        let now = self.inner.context.now();
        slot.entry.provider.check(request, now).map_err(|error| error.for_provider(provider))?;
        let request = request.clone();
        self.run(provider, |operation| async move { operation.replace(&request, rejected).await }).await
    }
}

impl Operation {
    async fn replace(self, request: &TokenRequest, rejected: Option<Secret>) -> Result<Token> {
        let other = |record: &Record| self.other(record, request, rejected.as_ref());
        let mut locked_record = match self.acquire(other).await? {
            Acquired::Lock(locked_record) => locked_record,
            Acquired::Found(token) => return Ok(token),
        };
        if let Some(token) = other(&locked_record.record)? {
            return Ok(token);
        }
        let mut bad = rejected.clone();
        if self.is_meant(&locked_record.record, request, rejected.as_ref()) {
            // While no other can be had, this one may still do elsewhere.
            if let Some(error) = self.throttled(&locked_record.record) {
                return Err(error);
            }
            if !self.provider().can_renew(&locked_record.record) {
                return self.exchange(&mut locked_record, request).await;
            }
            self.context.check_not_cancelled().await?;
            bad = locked_record.record.token(request.scopes()).map(|token| token.secret().clone());
            locked_record.record.reject_token(request.scopes(), self.context.now());
            self.write(&mut locked_record).await?;
            self.inner.remember(&self.slot, locked_record.record.clone(), false);
        }
        let token = self.renew_held(&mut locked_record, request).await?;
        if bad.is_some_and(|bad| bad.same_as(token.secret())) {
            return Err(Error::unavailable("the service gives the same token again, which is rejected")
                .with_hint("see whether the account may do this, and whether the service is well"));
        }
        Ok(token)
    }

    /// The held token, if it is another than the one that is complained of.
    fn other(
        &self,
        record: &Record,
        request: &TokenRequest,
        rejected: Option<&Secret>,
    ) -> Result<Option<Token>> {
        if !self.is_meant(record, request, rejected) {
            return Ok(self.serves(record, request).cloned());
        }
        if self.is_recent(record, request) {
            let short = SHORT_TIME.num_seconds();
            return Err(Error::unavailable(
                "the token is rejected, and it was made only now because the one before was rejected: another would be no better",
            )
            .with_hint(format!("see whether the account may do this and the service is well; after {short} s a new one is made")));
        }
        Ok(None)
    }

    /// Whether the held token is the one that is complained of.
    fn is_meant(&self, record: &Record, request: &TokenRequest, rejected: Option<&Secret>) -> bool {
        record.token(request.scopes()).is_some_and(|held| match rejected {
            Some(rejected) => held.secret().same_as(rejected),
            // Who does not name the token may mean the one before.
            None => !self.is_recent(record, request),
        })
    }

    /// Whether somebody complained a short time ago, and the held token is what was made for that.
    fn is_recent(&self, record: &Record, request: &TokenRequest) -> bool {
        let at = record.rejected_at(request.scopes());
        at.is_some_and(|at| (TimeDelta::zero()..SHORT_TIME).contains(&(self.context.now() - at)))
    }
}
