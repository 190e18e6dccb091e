//! Stores of records.

#[cfg(feature = "file")]
mod atomic_file;
#[cfg(feature = "file")]
mod bytes;
#[cfg(feature = "file")]
mod external_login;
#[cfg(feature = "file")]
mod fallback;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "file")]
mod filesystem;
#[cfg(feature = "file")]
mod layout;
#[cfg(feature = "file")]
mod lock;
#[cfg(feature = "file")]
mod locked;
#[cfg(feature = "file")]
mod migrate;
#[cfg(feature = "file")]
mod read;
#[cfg(feature = "file")]
mod sealed;

use async_trait::async_trait;

use crate::{Record, Result};

#[cfg(feature = "file")]
pub(crate) use external_login::ExternalLoginStore;
#[cfg(feature = "file")]
pub use file::FileStore;
#[cfg(feature = "file")]
pub use migrate::{Migrated, StorageFormat};
#[cfg(feature = "file")]
pub use sealed::{Envelope, Sealer};

/// A store of records and their locks. A store that many hosts share locks across hosts.
#[async_trait]
pub trait Store: Send + Sync {
    /// Reads the record without a lock and without waiting. It may be about to change, but it is complete.
    fn peek(&self, provider: &str) -> Result<Loaded>;

    /// Locks a provider's record, if no other process has the lock.
    async fn try_lock(&self, provider: &str) -> Result<Locking>;

    /// Describes the store and the reach of its lock.
    fn about(&self) -> StoreAbout;
}

/// A description of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAbout {
    /// The location of the records, such as a folder.
    pub place: String,
    /// The storage, such as a file system.
    pub on: String,
    /// Whether other hosts may see the records.
    pub shared: bool,
    /// The reach of the lock.
    pub reach: LockScope,
    /// The location of the lock, if it is not beside the record.
    pub lock_elsewhere: Option<String>,
}

/// The processes that a lock excludes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockScope {
    /// All processes of this host, and of no other.
    Host,
    /// All processes of all hosts that see the records.
    Hosts,
    /// All processes of this host; for other hosts this is unknown.
    Unknown,
}

/// The result of [`Store::try_lock`].
pub enum Locking {
    /// The locked record; dropping it unlocks.
    Taken(Box<dyn Locked>),
    /// Another process has the lock: its name, if known.
    Busy(Option<String>),
}

/// A record under its lock.
#[async_trait]
pub trait Locked: Send {
    /// Reads the record.
    async fn load(&mut self) -> Result<Loaded>;

    /// Checks permissions and reserves space for this number of saves. It is called before every exchange, so that no
    /// grant is spent whose response could not be saved.
    async fn probe(&mut self, saves: usize) -> Result<()>;

    /// Checks that the record of a new login can be saved; its storage format may differ from the stored record's. It
    /// is called before the user or the service is asked.
    async fn probe_login(&mut self) -> Result<()> {
        self.probe(1).await
    }

    /// Saves the record atomically and durably. An unreadable file is quarantined, never overwritten; its new path is
    /// returned.
    async fn save(&mut self, record: &Record) -> Result<Option<String>>;

    /// Saves the record to a fallback file after [`Locked::save`] failed, and returns the path. [`Store::peek`] and
    /// [`Locked::load`] read it from there until it is restored.
    async fn save_to_fallback(&mut self, record: &Record) -> Result<String>;

    /// Removes the record. An unreadable file is quarantined; its new path is returned.
    async fn forget(&mut self) -> Result<Option<String>>;
}

/// The result of reading a record.
#[derive(Debug)]
pub enum Loaded {
    /// No record is stored.
    Nothing,
    /// A record.
    Record(Box<Record>),
    /// A record from the fallback file, which should be restored as soon as possible: see
    /// [`Locked::save_to_fallback`].
    FromFallback(Box<Record>),
    /// A file that this version cannot read (incomplete, empty, of a newer format); the text says why.
    Unreadable(String),
}
