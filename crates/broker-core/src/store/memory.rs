//! A store in memory, for tests and for programs that keep no files.

use std::sync::Arc;

use async_trait::async_trait;
use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::Result;
use crate::record::Record;
use crate::store::{Loaded, Locked, Locking, Store, StoreAbout};

/// A store of records in this process's memory. Clones share the records. A lock excludes the process's other tasks
/// and threads. The records end with the process.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    records: Arc<DashMap<String, Record>>,
    locks: Arc<DashMap<String, Arc<Mutex<()>>>>,
}

impl MemoryStore {
    /// Creates a store without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn read(&self, provider: &str, _may_wait: bool) -> Result<Option<Loaded>> {
        let record = self.records.get(provider).map(|record| Box::new(record.clone()));
        Ok(Some(record.map_or(Loaded::Nothing, Loaded::Record)))
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        let lock = self.locks.entry(provider.to_owned()).or_default().clone();
        Ok(match lock.try_lock_owned() {
            Ok(lock) => {
                let (store, provider) = (self.clone(), provider.to_owned());
                Locking::Taken(Box::new(LockedInMemory { store, provider, _lock: lock }))
            }
            Err(_) => Locking::Busy(Some("another task of this process".to_owned())),
        })
    }

    fn about(&self) -> StoreAbout {
        StoreAbout::new("memory", "this process")
    }
}

struct LockedInMemory {
    store: MemoryStore,
    provider: String,
    _lock: OwnedMutexGuard<()>,
}

#[async_trait]
impl Locked for LockedInMemory {
    async fn load(&mut self) -> Result<Loaded> {
        Ok(self.store.read(&self.provider, true)?.unwrap_or(Loaded::Nothing))
    }

    async fn probe(&mut self, _record: &Record, _saves: usize) -> Result<()> {
        Ok(())
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let mut record = record.clone();
        // Like in files, these fields are not stored.
        (record.0.new_login, record.0.login_problem) = (false, None);
        self.store.records.insert(self.provider.clone(), record);
        Ok(None)
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        self.store.records.remove(&self.provider);
        Ok(None)
    }
}
