//! Tests of the store in memory.

use std::sync::Arc;

use broker_core::{Loaded, Locking, LoggedOut, MemoryStore, Store, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;

use crate::broker::{Scripted, get};
use crate::builder;

#[tokio::test]
async fn memory_store_shares_records_between_its_clones() {
    let (world, store) = (World::new(), MemoryStore::new());
    let provider = Scripted::numbered(TimeDelta::hours(1));
    let broker =
        || builder([(World::NAME, provider.clone())], Arc::new(store.clone()), world.context()).build();
    let (usual, force) = (TokenRequest::new(), TokenRequest::new().force());
    let (first, second) = (broker(), broker());
    assert_eq!(tokio::join!(get(&first, &usual), get(&second, &usual)), ("0".to_owned(), "0".to_owned()));
    assert_eq!(get(&first, &force).await, "1");
    assert_eq!(get(&broker(), &usual).await, "1");
    let logged_out = second.logout(World::NAME).await.expect("a logout");
    assert!(matches!(logged_out, LoggedOut { had_login: true, .. }));
    assert!(matches!(store.read(World::NAME, true), Ok(Some(Loaded::Nothing))));
    assert!(!world.record_path().exists());
}

#[tokio::test]
async fn memory_store_lock_excludes_other_tasks_until_dropped() {
    let store = MemoryStore::new();
    let locked = store.try_lock("a").await.expect("a lock");
    assert!(matches!(locked, Locking::Taken(_)));
    assert!(matches!(store.clone().try_lock("a").await, Ok(Locking::Busy(_))));
    assert!(matches!(store.try_lock("b").await, Ok(Locking::Taken(_))));
    drop(locked);
    assert!(matches!(store.try_lock("a").await, Ok(Locking::Taken(_))));
}
