//! Caches records and tokens in memory. Most calls then neither read the store nor wait for other threads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::decide::{Decision, decide};
use super::{Inner, Slot};
use crate::error::Result;
use crate::record::Record;
use crate::store::{Loaded, blocking};
use crate::token::{ScopeKey, Token, TokenRequest};

/// A cached record is read from the store again after this time.
const RELOAD_AFTER: TimeDelta = TimeDelta::seconds(1);

/// The token cache has this many parts. If the process has more threads, some threads share a part.
const STRIPES: usize = 16;

#[derive(Clone)]
pub(super) struct CachedRecord {
    pub(super) record: Arc<Record>,
    at: DateTime<Utc>,
    /// Whether the record is in a fallback file, because the store was not writable.
    pub(super) in_fallback: bool,
}

/// The token cache, with a part for each thread. A changed record removes its provider's tokens from all parts.
#[derive(Default)]
pub(super) struct TokenCache([Stripe; STRIPES]);

/// The cached tokens of one thread, or of several if there are more threads than [`STRIPES`]. The alignment is two
/// cache lines, because processors fetch cache lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Stripe(Mutex<TokensByProvider>);

type TokensByProvider = BTreeMap<String, BTreeMap<ScopeKey, CachedToken>>;

/// A cached token, and the period in which requests without options other than scopes get the token.
struct CachedToken {
    /// A copy with a separate reference count, because threads that update one count slow each other down.
    token: Token,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Inner {
    /// Returns the stored token unless it needs renewal, without waiting.
    pub(super) fn stored(&self, provider: &str, request: &TokenRequest) -> Result<Option<Token>> {
        let now = self.context.now();
        if request.is_plain()
            && let Some(tokens) = self.tokens.of_thread().get(provider)
            && let Some(cached) = tokens.get(request.scopes())
            && cached.is_current(now)
        {
            return Ok(Some(cached.token.clone()));
        }
        let slot = self.slot(provider)?;
        slot.entry.provider.check(request, now)?;
        if self.peek_cached(&slot)?.is_none() {
            return Ok(None);
        }
        // The cache is locked before the record is read: a newer record then removes the token inserted below.
        let mut tokens = self.tokens.of_thread();
        let Some(cached) = slot.cached().filter(|cached| !cached.in_fallback) else { return Ok(None) };
        let Decision::Use(token) = decide(&cached.record, request, now, now) else { return Ok(None) };
        let entry = cached.token_entry(token);
        let token = entry.token.clone();
        if request.is_plain() && entry.is_current(now) {
            let tokens = tokens.entry(provider.to_owned()).or_default();
            tokens.insert(request.scopes().clone(), entry);
        }
        Ok(Some(token))
    }

    fn fresh(&self, slot: &Slot) -> Option<CachedRecord> {
        slot.cached().filter(|cached| cached.is_fresh(self.context.now()))
    }

    /// Returns the cached record, or reads it if the cached copy is older than [`RELOAD_AFTER`]. `None` if the read would
    /// wait.
    pub(super) fn peek_cached(&self, slot: &Slot) -> Result<Option<CachedRecord>> {
        self.fresh(slot).map_or_else(|| self.peek_anew(slot), |cached| Ok(Some(cached)))
    }

    /// Like [`Self::peek_cached`], but waits on a blocking thread if necessary.
    pub(super) async fn cached(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<CachedRecord> {
        match self.fresh(slot) {
            Some(cached) => Ok(cached),
            None => self.reloaded(slot).await,
        }
    }

    /// Like [`Self::reload`], but waits on a blocking thread if necessary.
    pub(super) async fn reloaded(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<CachedRecord> {
        if let Some(cached) = self.peek_anew(slot)? {
            return Ok(cached);
        }
        let (inner, slot) = (self.clone(), slot.clone());
        blocking(move || inner.reload(&slot)).await
    }

    /// Reads and caches the record. May wait for the key of an encrypted record.
    pub(super) fn reload(&self, slot: &Slot) -> Result<CachedRecord> {
        let before = slot.cached();
        let loaded = self.load(slot, true)?.unwrap_or(Loaded::Nothing);
        Ok(self.replace_cached(slot, before.as_ref(), loaded))
    }

    fn peek_anew(&self, slot: &Slot) -> Result<Option<CachedRecord>> {
        let before = slot.cached();
        Ok(self.load(slot, false)?.map(|loaded| self.replace_cached(slot, before.as_ref(), loaded)))
    }

    /// Caches a record that was read. If another thread has cached a record since `before`, returns that record.
    fn replace_cached(&self, slot: &Slot, before: Option<&CachedRecord>, loaded: Loaded) -> CachedRecord {
        let in_fallback = matches!(loaded, Loaded::FromFallback(_));
        let (record, _) = self.read(slot, loaded);
        let reloaded = self.cached_now(record, in_fallback);
        let is_before =
            |cached: &CachedRecord| before.is_some_and(|before| Arc::ptr_eq(&before.record, &cached.record));
        let mut cached = slot.cached.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = cached.as_ref().filter(|cached| !is_before(cached)) {
            return newer.clone();
        }
        *cached = Some(reloaded.clone());
        drop(cached);
        self.tokens.clear(&slot.name);
        reloaded
    }

    pub(super) fn cache(&self, slot: &Slot, record: Record, in_fallback: bool) {
        let cached = self.cached_now(record, in_fallback);
        *slot.cached.write().unwrap_or_else(PoisonError::into_inner) = Some(cached);
        self.tokens.clear(&slot.name);
    }

    fn cached_now(&self, record: Record, in_fallback: bool) -> CachedRecord {
        CachedRecord { record: Arc::new(record), at: self.context.now(), in_fallback }
    }
}

impl Slot {
    fn cached(&self) -> Option<CachedRecord> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CachedRecord {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..RELOAD_AFTER).contains(&(now - self.at))
    }

    /// Returns a cache entry, which expires when the record must be reloaded or the token is due for renewal.
    fn token_entry(&self, token: &Token) -> CachedToken {
        let until = crate::token::bounds::later(self.at, RELOAD_AFTER);
        let until = token.window().renews_at().map_or(until, |renews_at| renews_at.min(until));
        CachedToken { token: token.unshared(), from: self.at, until }
    }
}

impl CachedToken {
    fn is_current(&self, now: DateTime<Utc>) -> bool {
        // After the clock was set back, `now` is before `from`.
        self.from <= now && now < self.until
    }
}

impl TokenCache {
    fn of_thread(&self) -> MutexGuard<'_, TokensByProvider> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static STRIPE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES;
        }
        self.0[STRIPE.with(|stripe| *stripe)].lock()
    }

    fn clear(&self, provider: &str) {
        for stripe in &self.0 {
            stripe.lock().remove(provider);
        }
    }
}

impl Stripe {
    fn lock(&self) -> MutexGuard<'_, TokensByProvider> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
