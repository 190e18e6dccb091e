//! One operation under the lock: what renewing, logging in and logging out share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Broker, Inner, Slot};
use crate::section::Section;
use crate::{Change, Context, Error, Locked, Locking, Provider, Record, Result};

/// Between two looks at a lock that somebody else has: short at first, since most exchanges are.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// After this long a person is told what is being waited for.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// What an operation works with. It runs in a task of its own, so that it ends well when its caller does not
/// wait for it.
pub(super) struct Operation {
    pub(super) inner: Arc<Inner>,
    pub(super) slot: Arc<Slot>,
    pub(super) context: Context,
    section: Arc<Section>,
}

/// A record under its lock, as its provider may use it.
pub(super) struct Held {
    pub(super) locked: Box<dyn Locked>,
    pub(super) record: Record,
    /// Why what was there could not be read, if so.
    pub(super) unreadable: Option<String>,
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
        let section = Arc::new(self.inner.sections.section());
        // Dropped when the caller no longer waits.
        let (caller, cancelled) = watch::channel(());
        let context = self.inner.context.of_operation(slot.entry.timeout, section.clone(), cancelled);
        let operation = Operation { inner: self.inner.clone(), slot, context, section };
        let ended = tokio::spawn(work(operation)).await;
        drop(caller);
        ended
            .unwrap_or_else(|error| Err(Error::failed("the operation broke off").with_source(error)))
            .map_err(|error| with_command(error, provider).of_provider(provider))
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

    /// Waits for the store's lock. `instead` is asked between two looks: what it gives ends the wait.
    pub(super) async fn lock<T>(
        &self,
        instead: impl Fn() -> Result<Option<T>>,
    ) -> Result<Result<Box<dyn Locked>, T>> {
        let (mut pause, mut waited) = (FIRST_PAUSE, Duration::ZERO);
        loop {
            let holder = match self.inner.store.try_lock(&self.slot.name).await? {
                Locking::Taken(locked) => return Ok(Ok(locked)),
                Locking::Busy(holder) => holder.unwrap_or_else(|| "another process".to_owned()),
            };
            if let Some(found) = instead()? {
                return Ok(Err(found));
            }
            if waited >= self.inner.wait_limit {
                let limit = humantime::format_duration(self.inner.wait_limit);
                return Err(Error::unavailable(format!(
                    "{holder} has held the lock for longer than {limit}"
                ))
                .with_hint("it may wait for a login or hang: end it, or try again"));
            }
            self.context.pause(pause).await?;
            if (waited..waited + pause).contains(&TELL_AFTER) {
                let name = &self.slot.name;
                self.context.person().tell(&format!("waiting for {holder}, which renews {name} or logs in"));
            }
            waited += pause;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Loads the record under its lock.
    pub(super) async fn load(&self, mut locked: Box<dyn Locked>) -> Result<Held> {
        let (record, unreadable) = self.slot.read(locked.load().await?, self.context.now());
        Ok(Held { locked, record, unreadable })
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
        change.apply(&mut held.record, self.context.now());
        let aside = held.locked.save(&held.record).await?;
        self.section.end();
        self.tell_aside(aside);
        held.unreadable = None;
        self.inner.remember(&self.slot, held.record.clone());
        Ok(())
    }
}
