//! A store that keeps records in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use earthbroker::{Loaded, LockScope, Locked, Locking, Record, Result, Store, StoreAbout};
use tokio::sync::OwnedMutexGuard;

/// Records by provider. Each provider has its own lock.
#[derive(Default)]
pub(crate) struct Memory {
    records: Arc<Mutex<HashMap<String, Record>>>,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[async_trait]
impl Store for Memory {
    fn peek(&self, provider: &str) -> Result<Loaded> {
        Ok(peek(&self.records, provider))
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = locks.entry(provider.to_owned()).or_default().clone();
        Ok(match lock.try_lock_owned() {
            Ok(lock) => Locking::Taken(Box::new(LockedRecord {
                provider: provider.to_owned(),
                records: self.records.clone(),
                _lock: lock,
            })),
            Err(_) => Locking::Busy(None),
        })
    }

    fn about(&self) -> StoreAbout {
        StoreAbout {
            place: "memory".to_owned(),
            on: "this process".to_owned(),
            shared: false,
            reach: LockScope::Host,
            lock_elsewhere: None,
        }
    }
}

struct LockedRecord {
    provider: String,
    records: Arc<Mutex<HashMap<String, Record>>>,
    _lock: OwnedMutexGuard<()>,
}

#[async_trait]
impl Locked for LockedRecord {
    async fn load(&mut self) -> Result<Loaded> {
        Ok(peek(&self.records, &self.provider))
    }

    async fn probe(&mut self, _saves: usize) -> Result<()> {
        Ok(())
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert(self.provider.clone(), record.clone());
        Ok(None)
    }

    async fn save_to_fallback(&mut self, record: &Record) -> Result<String> {
        self.save(record).await?;
        Ok("memory".to_owned())
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.provider);
        Ok(None)
    }
}

fn peek(records: &Mutex<HashMap<String, Record>>, provider: &str) -> Loaded {
    let records = records.lock().unwrap_or_else(PoisonError::into_inner);
    records.get(provider).map_or(Loaded::Nothing, |record| Loaded::Record(Box::new(record.clone())))
}
