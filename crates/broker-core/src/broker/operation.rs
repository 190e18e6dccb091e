//! One operation under the lock: what renewing, logging in and logging out share.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{OwnedMutexGuard, watch};

use super::{Broker, Inner, Slot};
use crate::context::Others;
use crate::section::Section;
use crate::trail::Trail;
use crate::waiting::{Waiting, waited_in_vain};
use crate::{Change, Context, Error, Loaded, Locked, Locking, Provider, Record, Result, Token, TokenRequest};

/// What an operation works with. It runs in a task of its own, so that it ends well when its caller does not
/// wait for it.
pub(super) struct Operation {
    pub(super) inner: Arc<Inner>,
    pub(super) slot: Arc<Slot>,
    pub(super) context: Context,
    pub(super) section: Arc<Section>,
    pub(super) trail: Arc<Trail>,
}

/// What came of waiting for one's turn.
pub(super) enum Turn<T> {
    /// It came: nobody else changes the record now.
    Mine(Box<Held>),
    /// What was wanted was there before.
    Found(T),
}

/// A record under its lock, as its provider may use it.
pub(super) struct Held {
    pub(super) locked: Box<dyn Locked>,
    pub(super) record: Record,
    /// Why what was there could not be read, if so.
    pub(super) unreadable: Option<String>,
    /// Whether `record` says something that the store does not.
    pub(super) unsaved: bool,
    _gate: Gate,
}

/// One task of this process at a time has it.
pub(super) type Gate = OwnedMutexGuard<()>;

tokio::task_local! {
    /// The operations that the running task is part of: a provider may ask for the token of another.
    static ASKING: Vec<(usize, String)>;
}

#[async_trait]
impl Others for Broker {
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
        let trail = Arc::<Trail>::default();
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
            .map_err(|error| with_command(error, provider).of_provider(provider))
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
                .of_provider(provider));
        }
        Ok(asking)
    }
}

/// Says which command mends a missing login.
fn with_command(error: Error, provider: &str) -> Error {
    if error.kind() == crate::ErrorKind::LoginRequired && error.hint().is_none() {
        error.with_hint(format!("run: broker login {provider}"))
    } else {
        error
    }
}

impl Operation {
    pub(super) fn provider(&self) -> &dyn Provider {
        self.slot.entry.provider.as_ref()
    }

    /// Waits for one's turn and loads the record; what `found` finds meanwhile in what the store shows ends the wait.
    pub(super) async fn turn<T>(&self, found: impl Fn(&Record) -> Result<Option<T>>) -> Result<Turn<T>> {
        let gate = self.gate().await?;
        self.turn_after(gate, found).await
    }

    /// The same, behind the gate.
    pub(super) async fn turn_after<T>(
        &self,
        gate: Gate,
        found: impl Fn(&Record) -> Result<Option<T>>,
    ) -> Result<Turn<T>> {
        Ok(match self.lock(|| found(&self.inner.look_again(&self.slot)?.record)).await? {
            Ok(locked) => Turn::Mine(Box::new(self.load(locked, gate).await?)),
            Err(found) => Turn::Found(found),
        })
    }

    /// Waits for the other tasks of this process.
    pub(super) async fn gate(&self) -> Result<Gate> {
        let limit = self.inner.wait_limit;
        tokio::select! {
            gate = self.slot.gate.clone().lock_owned() => Ok(gate),
            error = self.context.gone() => Err(error),
            () = tokio::time::sleep(limit) => {
                let task = format!("another task of this process ({})", std::process::id());
                Err(waited_in_vain(&task, limit))
            }
        }
    }

    /// Waits for the store's lock. `instead` is asked between two looks: what it gives ends the wait.
    async fn lock<T>(&self, instead: impl Fn() -> Result<Option<T>>) -> Result<Result<Box<dyn Locked>, T>> {
        let mut waiting = Waiting::up_to(self.inner.wait_limit);
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
                self.context.person().tell(&format!("waiting for {holder}, which renews {name} or logs in"));
            }
        }
    }

    /// A record that is in the second place only goes back to its own, if nobody is in the way and it can be written.
    pub(super) async fn put_back(&self) {
        let rescued = self.inner.look(&self.slot).is_ok_and(|seen| seen.rescued);
        if let Some(gate) = self.slot.gate.clone().try_lock_owned().ok().filter(|_| rescued)
            && let Ok(Locking::Taken(locked)) = self.slot.store.try_lock(&self.slot.name).await
        {
            drop(self.load(locked, gate).await);
        }
    }

    /// Loads the record under its lock. One that is in the second place goes back to its own, if that can be.
    async fn load(&self, mut locked: Box<dyn Locked>, gate: Gate) -> Result<Held> {
        let loaded = locked.load().await?;
        let rescued = matches!(loaded, Loaded::Rescued(_));
        let (record, unreadable) = self.inner.read(&self.slot, loaded);
        let mut held = Held { locked, record, unreadable, unsaved: false, _gate: gate };
        if rescued {
            match self.write(&mut held).await {
                Ok(()) => {
                    self.inner.remember(&self.slot, held.record.clone(), false);
                    tracing::info!("what was kept in the second place is in its own again");
                }
                Err(error) => tracing::info!(%error, "the record stays in the second place"),
            }
        }
        Ok(held)
    }

    /// Says where what could not be read is kept now.
    pub(super) fn tell_aside(&self, aside: Option<String>) {
        if let Some(aside) = aside {
            let name = &self.slot.name;
            self.context
                .person()
                .tell(&format!("{name}: what was held could not be read; it is kept in {aside}"));
        }
    }

    /// Applies what an exchange brought and saves it: from here on it may be used.
    pub(super) async fn save(&self, held: &mut Held, change: Change) -> Result<()> {
        let gives = change.gives();
        change.apply(&mut held.record, self.context.now());
        match self.write(held).await {
            Err(error) if gives => {
                held.unsaved = true;
                self.rescue(held, &error).await?;
            }
            written => written?,
        }
        self.section.end();
        self.inner.remember(&self.slot, held.record.clone(), held.unsaved);
        self.context.tell_all();
        Ok(())
    }

    /// Saves the record as it is.
    pub(super) async fn write(&self, held: &mut Held) -> Result<()> {
        held.record.revise();
        let aside = held.locked.save(&held.record).await?;
        self.tell_aside(aside);
        held.unreadable = None;
        held.unsaved = false;
        Ok(())
    }

    /// Saves in the second place what a service gave and the first could not take.
    async fn rescue(&self, held: &mut Held, why: &Error) -> Result<()> {
        let name = &self.slot.name;
        let path = held.locked.rescue(&held.record).await.map_err(|second| {
            Error::failed(format!("what the service gave could not be saved: {}; {}", why.message(), second.message()))
                .with_hint(format!("once there is room, run: broker token {name}; if the service has replaced the login, log in again"))
                .with_source(second)
        })?;
        self.context.person().tell(&format!(
            "WARNING: {name}: what the service gave could not be saved in its place: {}\n\
             WARNING: {name}: it is kept in {path}: do not remove that; a later call puts it back",
            why.message()
        ));
        Ok(())
    }
}
