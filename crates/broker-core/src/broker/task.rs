//! An operation under the record's lock: the common parts of renewal, login and logout.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedMutexGuard, watch};

use super::{Broker, Inner, ProviderHandle, Slot};
use crate::context::Prompt;
use crate::context::backoff::{Backoff, lock_timeout};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::provider::{Operation, OtherProviders, Provider, ProviderInfo};
use crate::record::{Record, RecordUpdate};
use crate::store::{Loaded, Locked, Locking};
use crate::token::{Token, TokenRequest};

/// One operation on a provider, which runs in a separate task. The task continues if the caller stops waiting.
pub(super) struct ProviderTask {
    pub(super) inner: Arc<Inner>,
    pub(super) slot: Arc<Slot>,
    pub(super) operation: Operation,
}

/// The result of a wait for the record's lock.
pub(super) enum Acquired<'t, T> {
    /// This process has the lock, so no other process changes the record.
    Lock(Box<LockedRecord<'t>>),
    /// Another process saved a usable result before this process got the lock.
    Found(T),
}

/// A locked record, reduced to the parts that its provider may use. Its methods need the lock.
pub(super) struct LockedRecord<'t> {
    pub(super) task: &'t ProviderTask,
    pub(super) lock: Box<dyn Locked>,
    pub(super) record: Record,
    pub(super) unreadable: Option<String>,
    pub(super) unsaved: bool,
    _process_lock: ProcessLock,
}

/// A lock between the tasks of this process. A task takes it before the store's lock, which excludes processes.
pub(super) type ProcessLock = OwnedMutexGuard<()>;

tokio::task_local! {
    /// This task's operation, and the operations that wait for this operation's token. Each entry has the broker's
    /// address and the provider's name.
    static OPERATIONS: Vec<(usize, String)>;
}

#[async_trait]
impl OtherProviders for Broker {
    async fn token(&self, provider: &str, request: &TokenRequest) -> Result<Token> {
        Self::token(self, provider, request).await
    }
}

impl ProviderHandle {
    /// Runs an operation to its end. If the caller stops waiting, the operation's pauses and polls end early.
    pub(super) async fn run<T, F, W>(&self, prompt: Option<Arc<dyn Prompt>>, work: W) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        W: FnOnce(ProviderTask) -> F,
    {
        if tokio::runtime::Handle::try_current().is_err() {
            let error =
                Error::usage("this call needs a tokio runtime").with_hint("await it in a tokio runtime");
            return Err(self.named(error));
        }
        let (inner, slot) = (self.broker.inner.clone(), self.slot.clone());
        let operations = self.operations()?;
        if matches!(inner.peek_cached(&slot), Ok(None)) {
            // Gets the key of an encrypted record before the operation begins.
            inner.cached(&slot).await.map_err(|error| self.named(error))?;
        }
        let context = match prompt {
            Some(prompt) => inner.context.clone().with_prompt(prompt),
            None => inner.context.clone(),
        };
        // Rust drops `caller` with this future when the caller stops waiting, which cancels the operation.
        let (caller, cancelled) = watch::channel(());
        let (in_flight, others) = (inner.in_flight.operation(), Arc::new(self.broker.clone()));
        let operation = Operation::of_caller(context, slot.entry.timeout, in_flight, cancelled, others);
        let task = ProviderTask { inner, slot, operation };
        let ended = tokio::spawn(OPERATIONS.scope(operations, work(task))).await;
        drop(caller);
        let ended = ended.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, "the broker panicked or was aborted").with_source(error))
        });
        ended.map_err(|error| match error.kind() {
            ErrorKind::LoginRequired if error.hint().is_none() => {
                self.named(error.with_hint(self.info().login_hint()))
            }
            _ => self.named(error),
        })
    }

    /// Returns this task's operations plus a new one. Fails if a provider needs its own token, which would deadlock.
    fn operations(&self) -> Result<Vec<(usize, String)>> {
        let mut operations = OPERATIONS.try_with(Clone::clone).unwrap_or_default();
        let this = (Arc::as_ptr(&self.broker.inner) as usize, self.name().to_owned());
        let is_cycle = operations.contains(&this);
        operations.push(this);
        if is_cycle {
            let names: Vec<_> = operations.iter().map(|(_, name)| name.as_str()).collect();
            let message = format!("providers need each other's tokens: {}", names.join(" -> "));
            return Err(self.named(Error::new(ErrorCode::ConfigInvalid, message)));
        }
        Ok(operations)
    }
}

impl ProviderTask {
    pub(super) fn provider(&self) -> &dyn Provider {
        self.slot.entry.provider.as_ref()
    }

    pub(super) fn info(&self) -> &ProviderInfo {
        &self.slot.entry.info
    }

    /// Waits for the lock and loads the record. Stops early if `found` accepts the stored record.
    pub(super) async fn acquire<T>(
        &self,
        found: impl Fn(&Record) -> Result<Option<T>>,
    ) -> Result<Acquired<'_, T>> {
        let process_lock = self.process_lock().await?;
        self.acquire_with(process_lock, found).await
    }

    /// Like [`Self::acquire`], for a caller that already has this process's lock of the record.
    pub(super) async fn acquire_with<T>(
        &self,
        process_lock: ProcessLock,
        found: impl Fn(&Record) -> Result<Option<T>>,
    ) -> Result<Acquired<'_, T>> {
        Ok(match self.lock(found).await? {
            Ok(lock) => Acquired::Lock(Box::new(self.load(lock, process_lock).await?)),
            Err(found) => Acquired::Found(found),
        })
    }

    pub(super) async fn process_lock(&self) -> Result<ProcessLock> {
        let limit = self.inner.wait_limit;
        tokio::select! {
            process_lock = self.slot.process_mutex.clone().lock_owned() => Ok(process_lock),
            error = self.operation.cancelled() => Err(error),
            () = tokio::time::sleep(limit) => {
                let task = format!("another call in this process (PID {})", std::process::id());
                Err(lock_timeout(&task, limit))
            }
        }
    }

    /// Waits for the store's lock. Calls `found` with the record after each failed attempt; a value ends the wait.
    async fn lock<T>(
        &self,
        found: impl Fn(&Record) -> Result<Option<T>>,
    ) -> Result<Result<Box<dyn Locked>, T>> {
        let mut backoff = Backoff::up_to(self.inner.wait_limit);
        loop {
            let holder = match self.slot.store.try_lock(&self.slot.name).await? {
                Locking::Taken(lock) => return Ok(Ok(lock)),
                Locking::Busy(holder) => holder,
            };
            if let Some(found) = found(&self.inner.reloaded(&self.slot).await?.record)? {
                return Ok(Err(found));
            }
            let (pause, message) = backoff.next(&self.slot.name, holder)?;
            self.operation.pause(pause).await?;
            if let Some(message) = message {
                self.operation.prompt().notify(&message);
            }
        }
    }

    /// Moves a record from its fallback file to the store, if the lock is free and the store is writable.
    pub(super) async fn restore(&self) {
        if self.inner.cached(&self.slot).await.is_ok_and(|cached| cached.in_fallback)
            && let Ok(process_lock) = self.slot.process_mutex.clone().try_lock_owned()
            && let Ok(Locking::Taken(lock)) = self.slot.store.try_lock(&self.slot.name).await
        {
            drop(self.load(lock, process_lock).await);
        }
    }

    /// Loads the locked record. Moves a record from its fallback file to the store, if possible.
    async fn load(&self, mut lock: Box<dyn Locked>, process_lock: ProcessLock) -> Result<LockedRecord<'_>> {
        let loaded = lock.load().await?;
        let in_fallback = matches!(loaded, Loaded::FromFallback(_));
        let (record, unreadable) = self.inner.read(&self.slot, loaded);
        let mut locked = LockedRecord {
            task: self,
            lock,
            record,
            unreadable,
            unsaved: false,
            _process_lock: process_lock,
        };
        if in_fallback {
            match locked.write().await {
                Ok(()) => {
                    self.inner.cache(&self.slot, locked.record.clone(), false);
                    tracing::info!("moved the record from the fallback file to the store");
                }
                Err(error) => {
                    tracing::info!(%error, "cannot move the record from the fallback file to the store");
                }
            }
        }
        Ok(locked)
    }

    /// Tells the user to which path the store moved an unreadable record file.
    pub(super) fn notify_quarantined(&self, path: Option<String>) {
        if let Some(path) = path {
            let name = &self.slot.name;
            self.operation.prompt().notify(&format!(
                "{name}: the file of the stored login could not be read, and was moved to {path}"
            ));
        }
    }
}

impl LockedRecord<'_> {
    /// Applies an update and saves the record. The new tokens may be used only after the save.
    pub(super) async fn save(&mut self, update: RecordUpdate) -> Result<()> {
        let has_secrets = update.has_secrets();
        update.apply(&mut self.record, self.task.operation.now());
        match self.write().await {
            Err(error) if has_secrets => {
                self.unsaved = true;
                self.save_to_fallback(&error).await?;
            }
            written => written?,
        }
        self.task.operation.in_flight.end();
        self.task.inner.cache(&self.task.slot, self.record.clone(), self.unsaved);
        self.task.operation.run_after_save();
        Ok(())
    }

    pub(super) async fn write(&mut self) -> Result<()> {
        self.record.revise();
        let quarantined = self.lock.save(&self.record).await?;
        self.task.notify_quarantined(quarantined);
        self.unreadable = None;
        self.unsaved = false;
        Ok(())
    }

    /// Saves the record in its fallback file, because the store failed with `error`.
    async fn save_to_fallback(&mut self, error: &Error) -> Result<()> {
        let name = &self.task.slot.name;
        let path = self.lock.save_to_fallback(&self.record).await.map_err(|second| {
            let message = format!("cannot save the new token: {}; {}", error.message(), second.message());
            Error::new(ErrorCode::StoreUnwritable, message)
                .with_hint("free space on the disk, then repeat the request; if the service refuses the stored login, log in again")
                .with_source(second)
        })?;
        let prompt = self.task.operation.prompt();
        prompt.notify(&format!("WARNING: {name}: cannot save the new token: {}", error.message()));
        prompt.notify(&format!(
            "WARNING: {name}: it is stored in the fallback file {path}: keep that file; a later call restores it"
        ));
        Ok(())
    }
}
