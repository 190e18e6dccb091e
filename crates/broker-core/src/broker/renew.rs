//! From a record to a new token.

use chrono::TimeDelta;

use super::decide::{Decision, decide, serves};
use super::operation::{Acquired, LockedRecord, Operation};
use crate::{Error, ErrorKind, Failure, Hint, Loaded, Record, RecordUpdate, Result, Token, TokenRequest};

/// The most exchanges between a record and a token (log in again, refresh, mint, with one that is refused
/// between): a provider that asks for more goes in a circle.
const MOST_EXCHANGES: usize = 6;

impl Operation {
    /// Gets a token: by an exchange, or because somebody else made one meanwhile. If that fails and the held
    /// token still serves, it is handed out.
    pub(super) async fn renew(self, request: &TokenRequest) -> Result<Token> {
        self.restore().await;
        let error = match self.try_renew(request).await {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        let seen = self.inner.read_cached(&self.slot).ok();
        let Some(token) = seen.and_then(|seen| self.serves(&seen.record, request).cloned()) else {
            return Err(error);
        };
        let until =
            token.expires_at().map_or_else(String::new, |at| format!(" until {}", at.format("%F %T UTC")));
        let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        let name = &self.slot.name;
        self.context
            .person()
            .notify(&format!("{name}: not renewed, the held token serves{until}: {}{hint}", error.message()));
        Ok(token)
    }

    fn decide<'r>(&self, record: &'r Record, request: &TokenRequest) -> Decision<'r> {
        decide(record, request, self.context.began_at(), self.context.now())
    }

    /// The held token if it truly serves who asks.
    pub(super) fn serves<'r>(&self, record: &'r Record, request: &TokenRequest) -> Option<&'r Token> {
        serves(record, request, self.context.began_at(), self.context.now())
    }

    async fn try_renew(&self, request: &TokenRequest) -> Result<Token> {
        let found = |record: &Record| match self.decide(record, request) {
            Decision::Use(token) | Decision::Renew(token) => Some(token.clone()),
            Decision::Need => None,
        };
        // Where a token serves meanwhile, whoever finds the way taken does not wait.
        let gate = if let Some(spare) = found(&self.inner.read_cached(&self.slot)?.record) {
            let Ok(gate) = self.slot.gate.clone().try_lock_owned() else { return Ok(spare) };
            gate
        } else {
            let gate = self.process_lock().await?;
            if let Some(token) = found(&self.inner.read_cached(&self.slot)?.record) {
                return Ok(token);
            }
            gate
        };
        let mut locked_record = match self.acquire_with(gate, |record| Ok(found(record))).await? {
            Acquired::Lock(locked_record) => locked_record,
            Acquired::Found(token) => return Ok(token),
        };
        match self.decide(&locked_record.record, request) {
            Decision::Use(token) => Ok(token.clone()),
            Decision::Renew(_) | Decision::Need => self.renew_held(&mut locked_record, request).await,
        }
    }

    /// Under the lock: exchanges, unless that is known to be in vain now, and puts a failure on record.
    pub(super) async fn renew_held(
        &self,
        locked_record: &mut LockedRecord,
        request: &TokenRequest,
    ) -> Result<Token> {
        if let Some(error) = self
            .failed_meanwhile(&locked_record.record, request)
            .or_else(|| self.throttled(&locked_record.record))
        {
            return Err(error);
        }
        self.exchange(locked_record, request).await
    }

    /// Under the lock: exchanges until the token is there, and puts a failure on record.
    pub(super) async fn exchange(
        &self,
        locked_record: &mut LockedRecord,
        request: &TokenRequest,
    ) -> Result<Token> {
        let exchanged =
            self.exchanges(locked_record, request).await.map_err(|error| explain(error, locked_record));
        if let Err(error) = &exchanged {
            self.note_failure(locked_record, request, error).await;
        }
        exchanged
    }

    /// While the service wants to be left alone, nobody asks it.
    pub(super) fn throttled(&self, record: &Record) -> Option<Error> {
        let now = self.context.now();
        let (until, failure) = record.throttle(now)?;
        let error = Error::unavailable(format!(
            "the service asked to be left alone until {}, and is not asked before ({})",
            until.format("%F %T UTC"),
            failure.message
        ));
        Some(error.with_retry_after((until - now).to_std().ok()).with_hint("try again then"))
    }

    /// The failure of whoever tried while this operation waited: all who asked meanwhile get it, and nobody asks
    /// again for them.
    fn failed_meanwhile(&self, record: &Record, request: &TokenRequest) -> Option<Error> {
        // One from later than now is from before the clock was set back.
        let meanwhile = |at| self.context.began_at() < at && at <= self.context.now();
        let failure = record.failure(request.scopes()).filter(|failure| meanwhile(failure.at))?;
        let error = failure.error();
        Some(if error.is_transient() { error.with_hint(Hint::RetryLater) } else { error })
    }

    /// Exchanges, saving after each, until the token is there.
    async fn exchanges(&self, locked_record: &mut LockedRecord, request: &TokenRequest) -> Result<Token> {
        let mut only_rotated = 0;
        for _ in 0..MOST_EXCHANGES {
            let whose = self.inner.whose_token(&self.slot);
            let journal = self.open_refresh_intent(locked_record, request).await?;
            let exchanged = self.provider().exchange(&self.context, &locked_record.record, request).await;
            self.close_refresh_intent(locked_record, journal.as_ref(), &exchanged);
            let mut change = exchanged?;
            if change.refuses_grant() && self.changed_meanwhile(locked_record).await? {
                continue;
            }
            let (unfit, expired) = (change.take_unfit(), change.take_expired(self.context.now()));
            only_rotated += usize::from(journal.is_some() && change.gives() && change.tokens().is_empty());
            let given = change.tokens().iter().find(|(scopes, _)| scopes == request.scopes()).cloned();
            let change = self.inner.note_whose(&self.slot, whose.as_ref(), change);
            self.save(locked_record, change).await?;
            if unfit {
                return Err(arrived_unfit());
            }
            if let Some(expired) = expired {
                return Err(self.arrived_expired(&expired));
            }
            if let Some((_, token)) = given {
                return Ok(token);
            }
            if only_rotated > 1 {
                let issuer = &self.provider().issuer().endpoint;
                return Err(Error::unavailable(format!("{issuer} renews and gives no token"))
                    .with_hint("what it gave is kept: try again later"));
            }
        }
        Err(Error::unavailable(format!("{MOST_EXCHANGES} exchanges gave no token")))
    }

    /// Before a refused grant is called lost: whether somebody has put another one there (who takes no lock, as
    /// the services' own tools).
    async fn changed_meanwhile(&self, locked_record: &mut LockedRecord) -> Result<bool> {
        let (Loaded::Record(record) | Loaded::FromFallback(record)) = locked_record.locked.load().await?
        else {
            return Ok(false);
        };
        let record = self.slot.own(*record, self.context.now());
        let changed = match (record.usable_grant(), locked_record.record.usable_grant()) {
            (Some(now), Some(before)) => !now.secret().same_as(before.secret()),
            (Some(_), None) => true,
            // Logged out elsewhere. What cannot be read now is no logout.
            (None, Some(_)) => record.grant().is_none() && !record.has_trouble(),
            (None, None) => false,
        };
        if changed {
            locked_record.record = record;
        }
        Ok(changed)
    }

    /// A token that arrives expired is nobody's token: one of the two clocks is wrong.
    pub(super) fn arrived_expired(&self, token: &Token) -> Error {
        let now = self.context.now();
        Error::unavailable(format!(
            "the new token had already expired when it came ({}); this machine's clock says {}, the service's {}",
            token.expires_at().unwrap_or_default().format("%F %T UTC"),
            now.format("%F %T UTC"),
            token.service_time(now).format("%F %T UTC"),
        ))
        .with_hint(if token.service_time(now) == now {
            "the clocks agree: the service gives tokens that are over at once"
        } else {
            "set this machine's clock"
        })
    }

    /// Puts a failure on record, so that it is not repeated at once and `status` can tell of it. That this may
    /// fail too changes nothing for the caller.
    pub(super) async fn note_failure(
        &self,
        locked_record: &mut LockedRecord,
        request: &TokenRequest,
        error: &Error,
    ) {
        let by_service = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Refused);
        let worth =
            by_service || (error.kind() == ErrorKind::LoginRequired && !locked_record.record.is_empty());
        if locked_record.unreadable.is_some() || !(worth || locked_record.unsaved) {
            return;
        }
        // A host that no lock keeps out may have saved something better meanwhile.
        if !locked_record.unsaved && self.changed_meanwhile(locked_record).await.unwrap_or(false) {
            return;
        }
        if worth {
            let token = locked_record.record.token(request.scopes());
            let pause =
                token.map_or_else(TimeDelta::zero, |token| token.window().retry_pause(fastrand::f64()));
            locked_record
                .record
                .set_failure(request.scopes(), Failure::new(error, self.context.now(), pause));
        }
        if let Err(error) = self.save(locked_record, RecordUpdate::default()).await {
            tracing::warn!(%error, "the failure could not be put on record");
        }
    }
}

/// A token that cannot be handed on is nobody's token.
pub(super) fn arrived_unfit() -> Error {
    Error::unavailable("the new token has control characters in it, which no program can take")
        .with_hint("what came with it is kept: try again later")
}

/// Says why what is on the disk was not used, where a login is asked for.
fn explain(error: Error, locked_record: &LockedRecord) -> Error {
    if error.kind() != ErrorKind::LoginRequired {
        return error;
    }
    if let Some(grant) = locked_record.record.grant()
        && grant.sent_at().is_some()
        && let Some(refusal_message) = grant.refusal_message()
    {
        return Error::login_required(format!("the login is over: {refusal_message}"));
    }
    let because = match &locked_record.unreadable {
        Some(why) => format!("{why}: it is left as it is, and kept aside by the next login"),
        None => match locked_record.record.why_empty() {
            Some(why) => why,
            None => return error,
        },
    };
    Error::login_required(format!("{} ({because})", error.message()))
}
