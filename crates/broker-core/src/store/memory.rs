//! A store in memory, for tests and for programs that keep no files.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dashmap::DashMap;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use crate::error::Result;
use crate::record::Record;
use crate::store::{Loaded, Locked, Locking, Store, StoreAbout};

/// A store of records in this process's memory. Clones share the records. A lock excludes the process's other tasks
/// and threads. The records end with the process.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    entries: Arc<DashMap<String, Arc<Entry>>>,
}

#[derive(Debug, Default)]
struct Entry {
    record: Mutex<Option<Record>>,
    lock: Arc<Lock<()>>,
}

impl MemoryStore {
    /// Creates a store without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Entry {
    fn read(&self) -> Loaded {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).clone();
        record.map_or(Loaded::Nothing, |record| Loaded::Record(Box::new(record)))
    }

    fn replace(&self, record: Option<Record>) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = record;
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn read(&self, provider: &str) -> Result<Loaded> {
        Ok(self.entries.get(provider).map_or(Loaded::Nothing, |entry| entry.read()))
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        let entry = self.entries.entry(provider.to_owned()).or_default().clone();
        Ok(match entry.lock.clone().try_lock_owned() {
            Ok(lock) => Locking::Taken(Box::new(LockedEntry { entry, _lock: lock })),
            Err(_) => Locking::Busy(Some("another task of this process".to_owned())),
        })
    }

    fn about(&self) -> StoreAbout {
        StoreAbout::new("memory", "this process")
    }
}

struct LockedEntry {
    entry: Arc<Entry>,
    _lock: OwnedMutexGuard<()>,
}

#[async_trait]
impl Locked for LockedEntry {
    async fn load(&mut self) -> Result<Loaded> {
        Ok(self.entry.read())
    }

    async fn probe(&mut self, _record: &Record, _saves: usize) -> Result<()> {
        Ok(())
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let mut record = record.clone();
        // Only the locked record of a login has these fields; files do not contain them.
        (record.new_login, record.login_problem) = (false, None);
        self.entry.replace(Some(record));
        Ok(None)
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        self.entry.replace(None);
        Ok(None)
    }
}
