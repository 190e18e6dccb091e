//! The broker locks and loads a record, calls the provider, and saves the result.

mod cache;
mod decide;
mod derived;
mod handle;
mod refresh_intent;
mod rejected;
mod renew;
mod session;
mod status;
mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use dashmap::DashMap;

use crate::context::Context;
use crate::error::{Error, ErrorCode, Result};
use crate::provider::in_flight::InFlightOperations;
use crate::provider::{DEFAULT_TIMEOUT, Provider, ProviderInfo};
use crate::record::{Record, is_provider_name};
#[cfg(feature = "file")]
use crate::store::ExternalLoginStore;
use crate::store::{Loaded, Store, StoreAbout};
use crate::token::sanitize;

use cache::{CachedRecord, TokenCache};

pub use handle::ProviderHandle;
pub use session::{LoggedIn, LoggedOut};
pub use status::{Inspected, State, Status, TokenStatus};

/// The default time limit of a caller's wait for another process's renewal or login.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

/// The number of shards of the map of providers. `DashMap`'s default depends on the processor count, which is slow
/// to read.
const SHARDS: usize = 4;

/// The configured providers, by name.
pub trait ProviderRegistry: Send + Sync {
    /// Returns the provider names, in the order in which users see them.
    fn names(&self) -> Vec<String>;

    /// Returns a provider by name. Fails with [`crate::error::ErrorKind::Usage`] for an unknown name, and with
    /// [`crate::error::ErrorKind::Configuration`] for invalid settings.
    fn entry(&self, name: &str) -> Result<Entry>;
}

/// A configured provider.
#[derive(Clone)]
#[non_exhaustive]
pub struct Entry {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The provider's description, as the configuration changed it.
    pub info: ProviderInfo,
    /// The timeout of each HTTP request.
    pub timeout: Duration,
}

impl Entry {
    /// Creates an entry with the provider's own description and the default timeout.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        let info = provider.info().clone();
        Self { provider, info, timeout: DEFAULT_TIMEOUT }
    }
}

impl ProviderRegistry for BTreeMap<String, Entry> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        let unknown = || Error::new(ErrorCode::ProviderUnknown, format!("no provider is named `{name}`"));
        self.get(name).cloned().ok_or_else(unknown)
    }
}

/// Gets, renews and stores tokens. Clones are cheap and share all state. Async calls need a tokio runtime with time
/// (and I/O, for the default HTTP client).
///
/// If a caller drops a call (a timeout, `select!`), the operation still runs until the response is saved, as long as
/// the tokio runtime of the call runs. Await [`Broker::wait_idle`] before the process exits and before the runtime is
/// dropped, also in a runtime for one call. Otherwise the operation ends like a killed process: the record contains
/// [`crate::record::Grant::sent_at`], and if the service has already replaced the refresh token, the login is lost.
///
/// The file store reads, writes and syncs its small files on the async thread. It gets the keys of encrypted records on
/// a blocking thread.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Box<dyn ProviderRegistry>,
    store: Arc<dyn Store>,
    context: Context,
    in_flight: InFlightOperations,
    wait_limit: Duration,
    slots: DashMap<String, Arc<Slot>>,
    tokens: TokenCache,
}

struct Slot {
    name: String,
    entry: Entry,
    /// Only one task of this process at a time waits for the store's lock.
    process_mutex: Arc<tokio::sync::Mutex<()>>,
    cached: RwLock<Option<CachedRecord>>,
    store: Arc<dyn Store>,
    has_login_file: bool,
}

/// Builds a [`Broker`].
pub struct BrokerBuilder {
    inner: Inner,
}

impl BrokerBuilder {
    /// Sets how long a caller waits for another process's renewal or login. The default is 2 minutes.
    #[must_use]
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.inner.wait_limit = limit;
        self
    }

    /// Builds the broker.
    pub fn build(self) -> Broker {
        Broker { inner: Arc::new(self.inner) }
    }
}

impl Broker {
    /// Creates a builder from the providers, the store and the context.
    pub fn builder(
        registry: impl ProviderRegistry + 'static,
        store: Arc<dyn Store>,
        context: Context,
    ) -> BrokerBuilder {
        BrokerBuilder {
            inner: Inner {
                registry: Box::new(registry),
                store,
                context,
                in_flight: InFlightOperations::default(),
                wait_limit: WAIT_LIMIT,
                slots: DashMap::with_shard_amount(SHARDS),
                tokens: TokenCache::default(),
            },
        }
    }

    /// Returns the names of the configured providers.
    pub fn names(&self) -> Vec<String> {
        self.inner.registry.names()
    }

    /// Waits until all responses that may contain tokens are saved. A process that exits earlier, or drops the runtime
    /// earlier, may lose a login.
    pub async fn wait_idle(&self) {
        self.inner.in_flight.wait_idle().await;
    }

    /// Describes the store, and which hosts and processes its lock excludes.
    pub fn store(&self) -> StoreAbout {
        self.inner.store.about()
    }
}

impl Inner {
    fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        // The name becomes part of a file name, so it must not contain a path.
        if !is_provider_name(name) {
            let message = format!("`{}` is not a valid provider name", sanitize(name));
            return Err(Error::new(ErrorCode::ProviderUnknown, message));
        }
        if let Some(slot) = self.slots.get(name) {
            return Ok(slot.clone());
        }
        let entry = self.registry.entry(name)?;
        let (process_mutex, cached) = (Arc::default(), RwLock::default());
        let file = entry.info.login_file.clone().filter(|_| cfg!(feature = "file"));
        let has_login_file = file.is_some();
        let records = self.store.clone();
        let store = match file {
            #[cfg(feature = "file")]
            Some(file) => {
                let (provider, context) = (entry.provider.clone(), self.context.clone());
                Arc::new(ExternalLoginStore { records, provider, file, context })
            }
            _ => records,
        };
        let slot = Slot { name: name.to_owned(), entry, process_mutex, cached, store, has_login_file };
        Ok(self.slots.entry(name.to_owned()).or_insert_with(|| Arc::new(slot)).clone())
    }
}

impl Slot {
    fn empty(&self) -> Record {
        Record::new(&self.name, self.entry.info.issuer.clone())
    }

    /// Returns the usable part of a loaded record, and the reason if the record could not be read.
    fn read(&self, loaded: Loaded, now: DateTime<Utc>) -> (Record, Option<String>) {
        match loaded {
            Loaded::Nothing => (self.empty(), None),
            Loaded::Record(record) | Loaded::FromFallback(record) => (self.usable(*record, now), None),
            Loaded::Unreadable(why) => (self.empty(), Some(why)),
        }
    }

    /// Keeps only the configured issuer's login and tokens, and only tokens that the configuration allows.
    fn usable(&self, record: Record, now: DateTime<Utc>) -> Record {
        let Entry { provider, info, .. } = &self.entry;
        let mut record = record.of_issuer(&info.issuer, info.account.as_deref(), now);
        record.retain_tokens(|token| {
            token.set_header(&info.header);
            provider.accepts(token)
        });
        if self.has_login_file { record } else { record.without_external() }
    }
}
