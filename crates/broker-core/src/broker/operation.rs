//! One operation under the lock: what renewing, logging in and logging out share.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedMutexGuard, watch};

use super::{Broker, Inner, Slot};
use crate::backoff::{Backoff, lock_timeout};
use crate::context::OtherProviders;
use crate::delivery::DeliveryStatus;
use crate::in_flight::InFlight;
use crate::{
    Context, Error, Hint, Loaded, Locked, Locking, Provider, Record, RecordUpdate, Result, Token,
    TokenRequest,
};

/// What an operation works with. It runs in a task of its own, so that it ends well when its caller does not
/// wait for it.
pub(super) struct Operation {
    pub(super) inner: Arc<Inner>,
    pub(super) slot: Arc<Slot>,
    pub(super) context: Context,
    pub(super) section: Arc<InFlight>,
    pub(super) trail: Arc<DeliveryStatus>,
}

/// What came of waiting for one's turn.
pub(super) enum Acquired<T> {
    /// It came: nobody else changes the record now.
    Lock(Box<LockedRecord>),
    /// What was wanted was there before.
    Found(T),
}

/// A record under its lock, as its provider may use it.
pub(super) struct LockedRecord {
    pub(super) locked: Box<dyn Locked>,
    pub(super) record: Record,
    /// Why what was there could not be read, if so.
    pub(super) unreadable: Option<String>,
    /// Whether `record` says something that the store does not.
    pub(super) unsaved: bool,
    _gate: ProcessLock,
}

/// One task of this process at a time has it.
pub(super) type ProcessLock = OwnedMutexGuard<()>;

tokio::task_local! {
    /// The operations that the running task is part of: a provider may ask for the token of another.
    static ASKING: Vec<(usize, String)>;
}

#[async_trait]
impl OtherProviders for Broker {
    async fn token(&self, provider: &str, request: &TokenRequest) -> Result<Token> {
        Self::token(self, provider, request).await
    }
}

impl Broker {
    /// Runs an operation to its end even if the caller goes away; then its waits and polls end early.
    pub(super) async fn run<T, F, W>(&self, provider: &str, work: W) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        W: FnOnce(Operation) -> F,
    {
        let slot = self.slot(provider)?;
        let asking = self.asking(provider)?;
        let section = Arc::new(self.inner.sections.section());
        // Dropped when the caller no longer waits.
        let (caller, cancelled) = watch::channel(());
        let trail = Arc::<DeliveryStatus>::default();
        let (timeout, inner) = (slot.entry.timeout, self.inner.clone());
        let context = inner.context.of_operation(
            timeout,
            section.clone(),
            trail.clone(),
            cancelled,
            Arc::new(self.clone()),
        );
        let operation = Operation { inner, slot, context, section, trail };
        let ended = tokio::spawn(ASKING.scope(asking, work(operation))).await;
        drop(caller);
        ended
            .unwrap_or_else(|error| Err(Error::failed("the operation broke off").with_source(error)))
            .map_err(|error| with_login_hint(error).for_provider(provider))
    }

    /// Who is asking now, this operation included; an error if a provider needs its own token to get one.
    fn asking(&self, provider: &str) -> Result<Vec<(usize, String)>> {
        let mut asking = ASKING.try_with(Clone::clone).unwrap_or_default();
        let this = (Arc::as_ptr(&self.inner) as usize, provider.to_owned());
        let in_circle = asking.contains(&this);
        asking.push(this);
        if in_circle {
            let names: Vec<_> = asking.iter().map(|(_, name)| name.as_str()).collect();
            let names = names.join(" -> ");
            return Err(Error::configuration(format!("providers need each other's tokens: {names}"))
                .for_provider(provider));
        }
        Ok(asking)
    }
}

/// Adds the hint to log in.
fn with_login_hint(error: Error) -> Error {
    if error.kind() == crate::ErrorKind::LoginRequired && error.hint().is_none() {
        error.with_hint(Hint::LogIn)
    } else {
        error
    }
}

impl Operation {
    pub(super) fn provider(&self) -> &dyn Provider {
        self.slot.entry.provider.as_ref()
    }

    /// Waits for one's turn and loads the record; what `found` finds meanwhile in what the store shows ends the wait.
    pub(super) async fn acquire<T>(
        &self,
        found: impl Fn(&Record) -> Result<Option<T>>,
    ) -> Result<Acquired<T>> {
        let gate = self.process_lock().await?;
        self.acquire_with(gate, found).await
    }

    /// The same, behind the gate.
    pub(super) async fn acquire_with<T>(
        &self,
        gate: ProcessLock,
        found: impl Fn(&Record) -> Result<Option<T>>,
    ) -> Result<Acquired<T>> {
        Ok(match self.lock(|| found(&self.inner.reload(&self.slot)?.record)).await? {
            Ok(locked) => Acquired::Lock(Box::new(self.load(locked, gate).await?)),
            Err(found) => Acquired::Found(found),
        })
    }

    /// Waits for the other tasks of this process.
    pub(super) async fn process_lock(&self) -> Result<ProcessLock> {
        let limit = self.inner.wait_limit;
        tokio::select! {
            gate = self.slot.gate.clone().lock_owned() => Ok(gate),
            error = self.context.gone() => Err(error),
            () = tokio::time::sleep(limit) => {
                let task = format!("another task of this process ({})", std::process::id());
                Err(lock_timeout(&task, limit))
            }
        }
    }

    /// Waits for the store's lock. `instead` is asked between two looks: what it gives ends the wait.
    async fn lock<T>(&self, instead: impl Fn() -> Result<Option<T>>) -> Result<Result<Box<dyn Locked>, T>> {
        let mut waiting = Backoff::up_to(self.inner.wait_limit);
        loop {
            let holder = match self.slot.store.try_lock(&self.slot.name).await? {
                Locking::Taken(locked) => return Ok(Ok(locked)),
                Locking::Busy(holder) => holder.unwrap_or_else(|| "another process".to_owned()),
            };
            if let Some(found) = instead()? {
                return Ok(Err(found));
            }
            let (pause, tell) = waiting.next(&holder)?;
            self.context.pause(pause).await?;
            if tell {
                let name = &self.slot.name;
                self.context
                    .person()
                    .notify(&format!("waiting for {holder}, which renews {name} or logs in"));
            }
        }
    }

    /// A record that is in the second place only goes back to its own, if nobody is in the way and it can be written.
    pub(super) async fn restore(&self) {
        let in_fallback = self.inner.read_cached(&self.slot).is_ok_and(|seen| seen.in_fallback);
        if let Some(gate) = self.slot.gate.clone().try_lock_owned().ok().filter(|_| in_fallback)
            && let Ok(Locking::Taken(locked)) = self.slot.store.try_lock(&self.slot.name).await
        {
            drop(self.load(locked, gate).await);
        }
    }

    /// Loads the record under its lock. One that is in the second place goes back to its own, if that can be.
    async fn load(&self, mut locked: Box<dyn Locked>, gate: ProcessLock) -> Result<LockedRecord> {
        let loaded = locked.load().await?;
        let in_fallback = matches!(loaded, Loaded::FromFallback(_));
        let (record, unreadable) = self.inner.read(&self.slot, loaded);
        let mut locked_record = LockedRecord { locked, record, unreadable, unsaved: false, _gate: gate };
        if in_fallback {
            match self.write(&mut locked_record).await {
                Ok(()) => {
                    self.inner.remember(&self.slot, locked_record.record.clone(), false);
                    tracing::info!("what was kept in the second place is in its own again");
                }
                Err(error) => tracing::info!(%error, "the record stays in the second place"),
            }
        }
        Ok(locked_record)
    }

    /// Says where what could not be read is kept now.
    pub(super) fn notify_quarantined(&self, aside: Option<String>) {
        if let Some(aside) = aside {
            let name = &self.slot.name;
            self.context
                .person()
                .notify(&format!("{name}: what was held could not be read; it is kept in {aside}"));
        }
    }

    /// Applies what an exchange brought and saves it: from here on it may be used.
    pub(super) async fn save(&self, locked_record: &mut LockedRecord, change: RecordUpdate) -> Result<()> {
        let gives = change.gives();
        change.apply(&mut locked_record.record, self.context.now());
        match self.write(locked_record).await {
            Err(error) if gives => {
                locked_record.unsaved = true;
                self.save_to_fallback(locked_record, &error).await?;
            }
            written => written?,
        }
        self.section.end();
        self.inner.remember(&self.slot, locked_record.record.clone(), locked_record.unsaved);
        self.context.flush_notices();
        Ok(())
    }

    /// Saves the record as it is.
    pub(super) async fn write(&self, locked_record: &mut LockedRecord) -> Result<()> {
        locked_record.record.revise();
        let aside = locked_record.locked.save(&locked_record.record).await?;
        self.notify_quarantined(aside);
        locked_record.unreadable = None;
        locked_record.unsaved = false;
        Ok(())
    }

    /// Saves in the second place what a service gave and the first could not take.
    async fn save_to_fallback(&self, locked_record: &mut LockedRecord, why: &Error) -> Result<()> {
        let name = &self.slot.name;
        let path = locked_record.locked.save_to_fallback(&locked_record.record).await.map_err(|second| {
            Error::failed(format!("what the service gave could not be saved: {}; {}", why.message(), second.message()))
                .with_hint("free space on the disk, then repeat the request; if the service has replaced the login, log in again")
                .with_source(second)
        })?;
        self.context.person().notify(&format!(
            "WARNING: {name}: what the service gave could not be saved in its place: {}\n\
             WARNING: {name}: it is kept in {path}: do not remove that; a later call puts it back",
            why.message()
        ));
        Ok(())
    }
}
