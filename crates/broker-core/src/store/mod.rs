//! Where records live.

mod file;

use async_trait::async_trait;

use crate::{Record, Result};

pub use file::FileStore;

/// Where records live. The lock of a record belongs to it: a store that many hosts share locks across hosts.
#[async_trait]
pub trait Store: Send + Sync {
    /// What can be read at once, without lock or waiting: it may be about to change, but it is whole.
    fn peek(&self, provider: &str) -> Result<Loaded>;

    /// Takes the lock of a provider's record if it is free.
    async fn try_lock(&self, provider: &str) -> Result<Locking>;
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

    /// Makes sure that a record can be saved: room is set aside, permissions are there. Called before every
    /// exchange, so that nothing is spent whose answer could not be kept.
    async fn probe(&mut self) -> Result<()>;

    /// Saves the record as one atomic step; when this returns, it is durable. A file that could not be read is
    /// kept aside, never overwritten: then this says where.
    async fn save(&mut self, record: &Record) -> Result<Option<String>>;

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
    /// Something this version cannot read (torn, empty, foreign, of a newer format), and why in words.
    Unreadable(String),
}
