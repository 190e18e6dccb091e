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

/// What each thread has seen. It is what [`Slot::seen`] has: whoever changes that forgets the views of it, so that no
/// thread has an older one afterwards.
#[derive(Default)]
pub(super) struct Views([Stripe; STRIPES]);

/// On a cache line of its own (processors fetch two at a time).
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<BTreeMap<String, View>>);

/// What one thread has seen of a provider.
struct View {
    slot: Arc<Slot>,
    seen: Seen,
    /// The tokens that were asked for, counted for this thread alone: a count that two threads change costs more than
    /// all else here.
    tokens: BTreeMap<ScopeKey, Token>,
}

impl Inner {
    /// The held token, if it needs no renewal.
    pub(super) fn held(&self, provider: &str, request: &TokenRequest) -> Result<Option<Token>> {
        let now = self.context.now();
        if let Some(view) = self.views.of_thread().get_mut(provider)
            && view.seen.is_fresh(now)
        {
            return view.held(request, now);
        }
        let slot = self.slot(provider)?;
        slot.entry.provider.check(request, now)?;
        self.look(&slot)?;
        let mut views = self.views.of_thread();
        // Read while the view is locked: what takes its place from here on forgets this view.
        let Some(seen) = slot.seen() else { return Ok(None) };
        let view = View { slot, seen, tokens: BTreeMap::new() };
        views.entry(provider.to_owned()).insert_entry(view).get_mut().held(request, now)
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
        self.views.forget(&slot.name);
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
}

impl Views {
    /// Those of the running thread.
    fn of_thread(&self) -> MutexGuard<'_, BTreeMap<String, View>> {
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
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, View>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn held(&mut self, request: &TokenRequest, now: DateTime<Utc>) -> Result<Option<Token>> {
        self.slot.entry.provider.check(request, now)?;
        let Decision::Use(token) = decide(&self.seen.record, request, now, now) else { return Ok(None) };
        if self.seen.rescued {
            return Ok(None);
        }
        if let Some(own) = self.tokens.get(request.scopes()) {
            return Ok(Some(own.clone()));
        }
        let own = token.apart();
        self.tokens.insert(request.scopes().clone(), own.clone());
        Ok(Some(own))
    }
}
