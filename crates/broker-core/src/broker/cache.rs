//! What a process has seen of the records, so that a held token costs no look at the store, nor a wait for another
//! thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::decide::{Decision, decide};
use super::{Inner, Slot};
use crate::{Loaded, Record, Result, ScopeKey, Token, TokenRequest};

/// How long a process trusts its own copy of a record before it looks at the store again.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// So many threads ask without touching each other's memory; of more, some share.
const STRIPES: usize = 16;

/// A record as the store showed it.
#[derive(Clone)]
pub(super) struct CachedRecord {
    pub(super) record: Arc<Record>,
    at: DateTime<Utc>,
    /// Whether it is in the second place only: then it is not used before somebody has tried to put it back.
    pub(super) in_fallback: bool,
}

/// What each thread was handed last. It follows from what [`Slot::seen`] has: whoever changes that forgets it.
#[derive(Default)]
pub(super) struct TokenCache([Stripe; STRIPES]);

/// The answers of some threads, on cache lines of their own (processors fetch two at a time).
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<OfProviders>);

type OfProviders = BTreeMap<String, BTreeMap<ScopeKey, CachedToken>>;

/// A held token, and how long it is the answer to who asks for its scopes and no more.
struct CachedToken {
    /// Counted for these threads alone: a count that all change costs more than all else here.
    token: Token,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Inner {
    /// The held token, if it needs no renewal.
    pub(super) fn stored(&self, provider: &str, request: &TokenRequest) -> Result<Option<Token>> {
        let now = self.context.now();
        if request.is_plain()
            && let Some(answers) = self.answers.of_thread().get(provider)
            && let Some(answer) = answers.get(request.scopes())
            && answer.stands(now)
        {
            return Ok(Some(answer.token.clone()));
        }
        let slot = self.slot(provider)?;
        slot.entry.provider.check(request, now)?;
        self.read_cached(&slot)?;
        let mut answers = self.answers.of_thread();
        // Read while they are locked: what takes its place from here on forgets this answer.
        let Some(seen) = slot.seen().filter(|seen| !seen.in_fallback) else { return Ok(None) };
        let Decision::Use(token) = decide(&seen.record, request, now, now) else { return Ok(None) };
        let answer = seen.answer(token);
        let token = answer.token.clone();
        if request.is_plain() && answer.stands(now) {
            let answers = answers.entry(provider.to_owned()).or_default();
            answers.insert(request.scopes().clone(), answer);
        }
        Ok(Some(token))
    }

    /// What is locked_record, as this process last saw it or as the store shows it.
    pub(super) fn read_cached(&self, slot: &Slot) -> Result<CachedRecord> {
        match slot.seen().filter(|seen| seen.is_fresh(self.context.now())) {
            Some(seen) => Ok(seen),
            None => self.reload(slot),
        }
    }

    /// What is locked_record, as the store shows it; what was remembered while it was looked at is newer.
    pub(super) fn reload(&self, slot: &Slot) -> Result<CachedRecord> {
        let before = slot.seen();
        let shown = slot.store.peek(&slot.name)?;
        let in_fallback = matches!(shown, Loaded::FromFallback(_));
        let (record, _) = self.read(slot, shown);
        let seen = self.seen(record, in_fallback);
        {
            let mut last = slot.seen.write().unwrap_or_else(PoisonError::into_inner);
            let of = |seen: &Option<CachedRecord>| seen.as_ref().map(|seen| Arc::as_ptr(&seen.record));
            if let Some(newer) = last.as_ref().filter(|_| of(&last) != of(&before)) {
                return Ok(newer.clone());
            }
            *last = Some(seen.clone());
        }
        self.answers.forget(&slot.name);
        Ok(seen)
    }

    pub(super) fn remember(&self, slot: &Slot, record: Record, in_fallback: bool) -> CachedRecord {
        let seen = self.seen(record, in_fallback);
        *slot.seen.write().unwrap_or_else(PoisonError::into_inner) = Some(seen.clone());
        self.answers.forget(&slot.name);
        seen
    }

    fn seen(&self, record: Record, in_fallback: bool) -> CachedRecord {
        CachedRecord { record: Arc::new(record), at: self.context.now(), in_fallback }
    }
}

impl Slot {
    fn seen(&self) -> Option<CachedRecord> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CachedRecord {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..LOOK_AGAIN).contains(&(now - self.at))
    }

    /// A token that was decided to be used, for as long as that does not hang on the time: until this was seen too long
    /// ago, or the token's advisory window begins.
    fn answer(&self, token: &Token) -> CachedToken {
        let until = self.at + LOOK_AGAIN;
        let until = token.window().renews_at().map_or(until, |renews_at| renews_at.min(until));
        CachedToken { token: token.apart(), from: self.at, until }
    }
}

impl CachedToken {
    fn stands(&self, now: DateTime<Utc>) -> bool {
        // A clock that was set back has it looked at again.
        self.from <= now && now < self.until
    }
}

impl TokenCache {
    /// Those of the running thread.
    fn of_thread(&self) -> MutexGuard<'_, OfProviders> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
        }
        self.0[STRIPE.with(|stripe| *stripe)].lock()
    }

    fn forget(&self, provider: &str) {
        for stripe in &self.0 {
            stripe.lock().remove(provider);
        }
    }
}

impl Stripe {
    fn lock(&self) -> MutexGuard<'_, OfProviders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
