//! The broker: the one who locks, loads, asks, saves and hands out, in that order.

mod cache;
mod decide;
mod derived;
mod inspect;
mod operation;
mod refresh_intent;
mod rejected;
mod renew;
mod session;
mod status;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use dashmap::DashMap;

use crate::context::DEFAULT_TIMEOUT;
use crate::in_flight::InFlightOperations;
#[cfg(feature = "file")]
use crate::store::ExternalLoginStore;
use crate::{
    Context, Error, Header, Loaded, Provider, Record, Result, Store, StoreAbout, Token, TokenRequest,
    sanitize,
};

use cache::{CachedRecord, TokenCache};

pub use inspect::Inspected;
pub use session::{LoggedIn, LoggedOut};
pub use status::{State, Status, TokenStatus};

/// How long a caller waits for another process that renews or logs in.
const WAIT_LIMIT: Duration = Duration::from_mins(2);

/// Of the map of providers, which is only asked for what a thread has not seen. How many processors there are, as
/// its default is, would be read from files at each start.
const SHARDS: usize = 4;

/// The providers a broker knows, by name.
pub trait ProviderRegistry: Send + Sync {
    /// The names, in the order people should see them.
    fn names(&self) -> Vec<String>;

    /// A provider by name: an [`crate::ErrorKind::Usage`] error if there is none of that name, an
    /// [`crate::ErrorKind::Configuration`] error if its configuration is wrong.
    fn entry(&self, name: &str) -> Result<Entry>;
}

/// A provider with what the broker needs to know beside it.
#[derive(Clone)]
pub struct Entry {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// The bound of each of its requests.
    pub timeout: Duration,
    /// The environment variable that programs usually look for its token in.
    pub token_variable: String,
    /// The hosts that its tokens are offered to: see [`Provider::hosts`].
    pub hosts: Vec<String>,
    /// The header that its tokens go into.
    pub header: Header,
}

impl Entry {
    /// An entry with the usual bound, the provider's own hosts, whose variable is `TOKEN`.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        let (hosts, header) = (provider.hosts(), provider.header());
        Self { provider, timeout: DEFAULT_TIMEOUT, token_variable: "TOKEN".to_owned(), hosts, header }
    }
}

impl ProviderRegistry for BTreeMap<String, Entry> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn entry(&self, name: &str) -> Result<Entry> {
        self.get(name).cloned().ok_or_else(|| Error::usage(format!("there is no provider `{name}`")))
    }
}

/// The broker. Cheap to clone; all clones share what they know. It is `Send + Sync`, and async calls need a
/// tokio runtime with time (and I/O, for the usual HTTP client).
///
/// Work that was begun goes on if a call is dropped, until what the service gave is saved: a login is not lost
/// by a timeout or a `select!` around a call. Before a process ends by itself, wait for [`Broker::wait_idle`]. The
/// file store reads, writes and syncs its small files on the thread of the task.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Box<dyn ProviderRegistry>,
    store: Arc<dyn Store>,
    context: Context,
    sections: InFlightOperations,
    wait_limit: Duration,
    slots: DashMap<String, Arc<Slot>>,
    answers: TokenCache,
}

/// What a process knows of one provider.
struct Slot {
    name: String,
    entry: Entry,
    /// One task of this process at a time goes for the store's lock.
    gate: Arc<tokio::sync::Mutex<()>>,
    seen: RwLock<Option<CachedRecord>>,
    /// Where its record is.
    store: Arc<dyn Store>,
    shares_file: bool,
}

/// Whether a provider can be called so: up to 64 letters (ASCII), digits, `-` and `_`, the first of them no `-`.
#[must_use]
pub fn is_provider_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain) && !name.starts_with('-')
}

/// Whether a host (with or without a port) is meant by a pattern of [`Provider::hosts`]. A pattern without a port means
/// every port.
#[must_use]
pub fn host_matches(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.to_ascii_lowercase(), host.to_ascii_lowercase());
    let without_port = |text: &str| match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name.to_owned()
        }
        _ => text.to_owned(),
    };
    let host = match (without_port(&pattern) == pattern, without_port(&host) == host) {
        (true, _) => without_port(&host),
        // Where no port is said, it is that of https.
        (false, true) => format!("{host}:443"),
        (false, false) => host,
    };
    match pattern.strip_prefix("*.") {
        Some(domain) => {
            host.strip_suffix(domain).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
        None => host == pattern,
    }
}

/// Builds a [`Broker`].
pub struct BrokerBuilder {
    inner: Inner,
}

impl BrokerBuilder {
    /// Sets how long a caller waits for another process that renews or logs in; 2 minutes if not set.
    #[must_use]
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.inner.wait_limit = limit;
        self
    }

    /// The broker.
    #[must_use]
    pub fn build(self) -> Broker {
        Broker { inner: Arc::new(self.inner) }
    }
}

impl Broker {
    /// Builds a broker of these providers, over this store, in this world.
    pub fn builder(
        catalog: impl ProviderRegistry + 'static,
        store: Arc<dyn Store>,
        context: Context,
    ) -> BrokerBuilder {
        BrokerBuilder {
            inner: Inner {
                catalog: Box::new(catalog),
                store,
                context,
                sections: InFlightOperations::new(),
                wait_limit: WAIT_LIMIT,
                slots: DashMap::with_shard_amount(SHARDS),
                answers: TokenCache::default(),
            },
        }
    }

    /// The names of the providers.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.inner.catalog.names()
    }

    /// The environment variable that programs usually look for a provider's token in.
    pub fn token_variable(&self, provider: &str) -> Result<String> {
        Ok(self.slot(provider)?.entry.token_variable.clone())
    }

    /// The hosts that a provider's tokens are offered to: see [`Provider::hosts`].
    pub fn hosts(&self, provider: &str) -> Result<Vec<String>> {
        Ok(self.slot(provider)?.entry.hosts.clone())
    }

    /// The header that a provider's tokens go into.
    pub fn header(&self, provider: &str) -> Result<Header> {
        Ok(self.slot(provider)?.entry.header.clone())
    }

    /// Whether a provider's tokens are offered to `host`, which may have a port.
    pub fn offers_to(&self, provider: &str, host: &str) -> Result<bool> {
        Ok(self.slot(provider)?.entry.hosts.iter().any(|pattern| host_matches(pattern, host)))
    }

    /// The held token, if it needs no renewal. This asks no service, waits for nobody and needs no runtime.
    pub fn stored(&self, provider: &str, request: &TokenRequest) -> Result<Option<Token>> {
        self.inner.stored(provider, request).map_err(|error| error.for_provider(provider))
    }

    /// A token: the held one, or a new one, which is saved before it is returned. However many ask at once, in
    /// this process and others, one asks the service.
    pub async fn token(&self, provider: &str, request: &TokenRequest) -> Result<Token> {
        if let Some(token) = self.stored(provider, request)? {
            return Ok(token);
        }
        let request = request.clone();
        self.run(provider, |operation| async move { operation.renew(&request).await }).await
    }

    /// Waits until nothing is between a request and its save. A process that ends before may lose a login.
    pub async fn wait_idle(&self) {
        self.inner.sections.wait_idle().await;
    }

    /// Where records are, and how far the lock reaches that keeps their writers apart.
    #[must_use]
    pub fn store(&self) -> StoreAbout {
        self.inner.store.about()
    }

    fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        self.inner.slot(name)
    }
}

impl Inner {
    /// A provider by its name, with what this process knows of it.
    fn slot(&self, name: &str) -> Result<Arc<Slot>> {
        // A name becomes a file's name.
        if !is_provider_name(name) {
            return Err(Error::usage(format!("`{}` is no name for a provider", sanitize(name))));
        }
        if let Some(slot) = self.slots.get(name) {
            return Ok(slot.clone());
        }
        let entry = self.catalog.entry(name)?;
        let (gate, seen) = (Arc::default(), RwLock::new(None));
        let records = self.store.clone();
        let file = entry.provider.login_file().filter(|_| cfg!(feature = "file"));
        let shares_file = file.is_some();
        let store = match file {
            #[cfg(feature = "file")]
            Some(file) => {
                Arc::new(ExternalLoginStore::new(records, entry.provider.clone(), file, self.context.clone()))
            }
            _ => records,
        };
        let slot = Slot { name: name.to_owned(), entry, gate, seen, store, shares_file };
        Ok(self.slots.entry(name.to_owned()).or_insert_with(|| Arc::new(slot)).clone())
    }
}

impl Slot {
    fn empty(&self) -> Record {
        Record::new(&self.name, self.entry.provider.issuer().clone())
    }

    /// What a store shows, as this provider may use it; and why it could not be read, if so.
    fn read(&self, loaded: Loaded, now: DateTime<Utc>) -> (Record, Option<String>) {
        match loaded {
            Loaded::Nothing => (self.empty(), None),
            Loaded::Record(record) | Loaded::FromFallback(record) => (self.own(*record, now), None),
            Loaded::Unreadable(why) => (self.empty(), Some(why)),
        }
    }

    /// The record as this provider may use it.
    fn own(&self, record: Record, now: DateTime<Utc>) -> Record {
        let provider = &self.entry.provider;
        let mut record = record.of_issuer(provider.issuer(), provider.account(), now);
        record.retain_tokens(|token| provider.accepts(token));
        if self.shares_file { record } else { record.unshared() }
    }
}
