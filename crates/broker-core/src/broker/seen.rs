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
pub(super) struct Seen {
    pub(super) record: Arc<Record>,
    at: DateTime<Utc>,
    /// Whether it is in the second place only: then it is not used before somebody has tried to put it back.
    pub(super) rescued: bool,
}

/// What each thread was handed last. It follows from what [`Slot::seen`] has: whoever changes that forgets it.
#[derive(Default)]
pub(super) struct Answers([Stripe; STRIPES]);

/// The answers of some threads, on cache lines of their own (processors fetch two at a time).
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<OfProviders>);

type OfProviders = BTreeMap<String, BTreeMap<ScopeKey, Answer>>;

/// A held token, and how long it is the answer to who asks for its scopes and no more.
struct Answer {
    /// Counted for these threads alone: a count that all change costs more than all else here.
    token: Token,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Inner {
    /// The held token, if it needs no renewal.
    pub(super) fn held(&self, provider: &str, request: &TokenRequest) -> Result<Option<Token>> {
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
        self.look(&slot)?;
        let mut answers = self.answers.of_thread();
        // Read while they are locked: what takes its place from here on forgets this answer.
        let Some(seen) = slot.seen().filter(|seen| !seen.rescued) else { return Ok(None) };
        let Decision::Use(token) = decide(&seen.record, request, now, now) else { return Ok(None) };
        let answer = seen.answer(token);
        let token = answer.token.clone();
        if request.is_plain() && answer.stands(now) {
            let answers = answers.entry(provider.to_owned()).or_default();
            answers.retain(|_, answer| answer.stands(now));
            answers.insert(request.scopes().clone(), answer);
        }
        Ok(Some(token))
    }

    /// What is held, as this process last saw it or as the store shows it.
    pub(super) fn look(&self, slot: &Slot) -> Result<Seen> {
        match slot.seen().filter(|seen| seen.is_fresh(self.context.now())) {
            Some(seen) => Ok(seen),
            None => self.look_again(slot),
        }
    }

    /// What is held, as the store shows it.
    pub(super) fn look_again(&self, slot: &Slot) -> Result<Seen> {
        let shown = slot.store.peek(&slot.name)?;
        let rescued = matches!(shown, Loaded::Rescued(_));
        let (record, _) = self.read(slot, shown);
        Ok(self.remember(slot, record, rescued))
    }

    pub(super) fn remember(&self, slot: &Slot, record: Record, rescued: bool) -> Seen {
        let seen = Seen { record: Arc::new(record), at: self.context.now(), rescued };
        *slot.seen.write().unwrap_or_else(PoisonError::into_inner) = Some(seen.clone());
        self.answers.forget(&slot.name);
        seen
    }
}

impl Slot {
    fn seen(&self) -> Option<Seen> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seen {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..LOOK_AGAIN).contains(&(now - self.at))
    }

    /// A token that was decided to be used, for as long as that does not hang on the time: until this was seen too long
    /// ago, or the token's advisory window begins.
    fn answer(&self, token: &Token) -> Answer {
        let until = self.at + LOOK_AGAIN;
        let until = token.window().renews_at().map_or(until, |renews_at| renews_at.min(until));
        Answer { token: token.apart(), from: self.at, until }
    }
}

impl Answer {
    fn stands(&self, now: DateTime<Utc>) -> bool {
        // A clock that was set back has it looked at again.
        self.from <= now && now < self.until
    }
}

impl Answers {
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
