//! Where records live.

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

/// Where records live. The lock of a record belongs to it: a store that many hosts share locks across hosts.
#[async_trait]
pub trait Store: Send + Sync {
    /// What can be read at once, without lock or waiting: it may be about to change, but it is whole.
    fn peek(&self, provider: &str) -> Result<Loaded>;

    /// Takes the lock of a provider's record if it is free.
    async fn try_lock(&self, provider: &str) -> Result<Locking>;

    /// Where it is and how far its lock reaches, for people.
    fn about(&self) -> StoreAbout;
}

/// Where a store is and how far its lock reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreAbout {
    /// Where records are: a folder, say.
    pub place: String,
    /// On what: the file system, say.
    pub on: String,
    /// Whether other hosts may see the records.
    pub shared: bool,
    /// Who is kept out by the lock.
    pub reach: LockScope,
    /// Where the lock is, if not beside the record.
    pub lock_elsewhere: Option<String>,
}

/// Who is kept out by a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockScope {
    /// All processes of this host, and of no other.
    Host,
    /// All processes of all hosts that see the records.
    Hosts,
    /// All processes of this host; whether those of other hosts cannot be told.
    Unknown,
}

/// What came of [`Store::try_lock`].
pub enum Locking {
    /// The lock is held until this is dropped.
    Taken(Box<dyn Locked>),
    /// Somebody else has it: who, if that can be told.
    Busy(Option<String>),
}

/// A record under its lock.
#[async_trait]
pub trait Locked: Send {
    /// Reads the record.
    async fn load(&mut self) -> Result<Loaded>;

    /// Makes sure that a record can be saved so many times: room is set aside, permissions are there. Called before
    /// every exchange, so that nothing is spent whose answer could not be kept.
    async fn probe(&mut self, saves: usize) -> Result<()>;

    /// Makes sure that the record of a new login can be saved: it may be written in another way than the one that is
    /// there. Called before anything is asked of a person or a service.
    async fn probe_login(&mut self) -> Result<()> {
        self.probe(1).await
    }

    /// Saves the record as one atomic step; when this returns, it is durable. A file that could not be read is
    /// kept aside, never overwritten: then this says where.
    async fn save(&mut self, record: &Record) -> Result<Option<String>>;

    /// Saves the record in a second place, because it could not be saved here although an exchange has changed it;
    /// says where. From then on [`Store::peek`] and [`Locked::load`] find it there, until it can be saved here.
    async fn save_to_fallback(&mut self, record: &Record) -> Result<String>;

    /// Forgets the record. What could not be read is kept aside: then this says where.
    async fn forget(&mut self) -> Result<Option<String>>;
}

/// What was there.
#[derive(Debug)]
pub enum Loaded {
    /// Nothing.
    Nothing,
    /// A record.
    Record(Box<Record>),
    /// A record that is in the second place, and should be saved in its own as soon as that can be: see
    /// [`Locked::rescue`].
    FromFallback(Box<Record>),
    /// Something this version cannot read (torn, empty, foreign, of a newer format), and why in words.
    Unreadable(String),
}
