//! Stores of records. [`FileStore`] and [`MemoryStore`] keep records; the other stores wrap a store and add to it.

#[cfg(feature = "file")]
mod external_login;
#[cfg(feature = "file")]
mod fallback;
#[cfg(feature = "file")]
mod file;
mod memory;
#[cfg(feature = "file")]
mod migrate;
#[cfg(feature = "file")]
mod sealed;

use async_trait::async_trait;

use crate::context::LoginCheck;
use crate::error::{Error, ErrorCode, Result};
use crate::record::Record;

#[cfg(feature = "file")]
pub(crate) use external_login::ExternalLoginStore;
#[cfg(feature = "file")]
pub use fallback::FallbackStore;
#[cfg(feature = "file")]
pub use file::FileStore;
pub use memory::MemoryStore;
#[cfg(feature = "file")]
pub use migrate::Migrated;
#[cfg(feature = "file")]
pub use sealed::{Envelope, Sealer};

/// A store of records with locks. If several hosts share a store, a lock should exclude the other hosts too.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads the record without taking or awaiting the lock. The result is complete even while another process saves.
    /// If the read has to wait, such as for the key of an encrypted record, returns `None` unless `may_wait` is true.
    /// Async code waits on a blocking thread.
    fn read(&self, provider: &str, may_wait: bool) -> Result<Option<Loaded>>;

    /// Locks a provider's record, unless another process has the lock.
    async fn try_lock(&self, provider: &str) -> Result<Locking>;

    /// Describes the store for the user: folder, file system, and the processes that a lock excludes.
    fn about(&self) -> StoreAbout;
}

/// A description of a store, for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreAbout {
    /// Where the records are, such as the path of a folder.
    pub place: String,
    /// The storage system of the records, such as a file system type.
    pub on: String,
    /// Whether other hosts may use the store's records.
    pub shared: bool,
    /// Which processes a record's lock excludes.
    pub reach: LockScope,
    /// The lock file's path, with `NAME` for the provider, if the lock is not in the records' folder.
    pub lock_elsewhere: Option<String>,
}

impl StoreAbout {
    /// Describes a store that only this host uses.
    pub fn new(place: impl Into<String>, on: impl Into<String>) -> Self {
        let (place, on) = (place.into(), on.into());
        Self { place, on, shared: false, reach: LockScope::Host, lock_elsewhere: None }
    }
}

/// The processes that a record's lock excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockScope {
    /// A record's lock excludes only processes on this host.
    Host,
    /// A record's lock excludes processes on all hosts that use the records.
    Hosts,
    /// A record's lock excludes processes on this host. Whether it excludes other hosts is unknown.
    Unknown,
}

/// The result of an attempt to lock a record with [`Store::try_lock`].
pub enum Locking {
    /// This process now has the lock. Dropping the value releases the lock.
    Taken(Box<dyn Locked>),
    /// Another process has the lock. The text describes that process, if known.
    Busy(Option<String>),
}

/// A record that this process has locked.
#[async_trait]
pub trait Locked: Send {
    /// Reads the locked record.
    async fn load(&mut self) -> Result<Loaded>;

    /// Checks that `record` can be saved `saves` times: permissions, disk space, the key of an encrypted record. The
    /// broker calls this method before every exchange and login, because the new grant in a response must be saved.
    async fn probe(&mut self, record: &Record, saves: usize) -> Result<()>;

    /// Returns a function that tells whether the login is still the one that [`Locked::load`] returned. The broker
    /// calls it right before it sends a refresh token. Only needed if other programs change the login without the lock.
    fn login_check(&self) -> Option<LoginCheck> {
        None
    }

    /// Saves the record atomically; a saved record survives a crash. First moves an unreadable file to quarantine,
    /// and returns the quarantine path.
    async fn save(&mut self, record: &Record) -> Result<Option<String>>;

    /// Saves the record to a fallback file after [`Locked::save`] failed, and returns that file's path. [`Store::read`]
    /// and [`Locked::load`] then return the fallback record until the next successful [`Locked::save`].
    async fn save_to_fallback(&mut self, _record: &Record) -> Result<String> {
        Err(Error::new(ErrorCode::StoreUnwritable, "the store has no fallback files"))
    }

    /// Removes the record. Moves an unreadable file to quarantine, and returns the quarantine path.
    async fn forget(&mut self) -> Result<Option<String>>;
}

/// The result of reading a record.
#[derive(Debug)]
pub enum Loaded {
    /// No record is stored.
    Nothing,
    /// A complete record.
    Record(Box<Record>),
    /// A record from the fallback file, to be saved to the normal file soon: see [`Locked::save_to_fallback`].
    FromFallback(Box<Record>),
    /// A record file that this broker version cannot read because it is incomplete, empty or newer; the text says why.
    Unreadable(String),
}

/// Reads a record. Waits on a blocking thread if necessary.
#[cfg(feature = "file")]
pub(crate) async fn read(store: &(impl Store + Clone + 'static), provider: &str) -> Result<Loaded> {
    if let Some(loaded) = store.read(provider, false)? {
        return Ok(loaded);
    }
    let (store, provider) = (store.clone(), provider.to_owned());
    blocking(move || Ok(store.read(&provider, true)?.unwrap_or(Loaded::Nothing))).await
}

/// Runs work that may wait on a blocking thread, so that other tasks of the runtime continue.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::new(ErrorCode::Internal, "reading the record panicked").with_source(error))
    })
}
