//! Tests of encrypted records whose key arrives late, such as from a keyring or a passphrase command.

use std::sync::{Arc, Condvar, Mutex};

use broker_core::{Broker, Envelope, FileStore, Result, Sealer, TokenRequest};
use broker_testkit::World;
use chrono::TimeDelta;
use zeroize::Zeroizing;

use crate::broker::{Scripted, get};
use crate::{builder, files};

const METHOD: &str = "test";

/// A sealer that waits for its key until the test provides it. It does not encrypt.
#[derive(Debug, Default)]
struct LateKey {
    key: Mutex<Key>,
    changed: Condvar,
}

#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum Key {
    #[default]
    Unused,
    Awaited,
    Provided,
}

impl LateKey {
    fn provided() -> Arc<Self> {
        Arc::new(Self { key: Mutex::new(Key::Provided), changed: Condvar::new() })
    }

    fn provide(&self) {
        *self.key.lock().expect("the key") = Key::Provided;
        self.changed.notify_all();
    }

    fn state(&self) -> Key {
        *self.key.lock().expect("the key")
    }

    fn wait(&self) {
        let mut key = self.key.lock().expect("the key");
        while *key != Key::Provided {
            *key = Key::Awaited;
            key = self.changed.wait(key).expect("the key");
        }
    }
}

impl Sealer for LateKey {
    fn configured(&self) -> Option<&str> {
        Some(METHOD)
    }

    fn probe(&self, _with: &str, _provider: &str) -> Result<()> {
        self.wait();
        Ok(())
    }

    fn seal(&self, with: &str, provider: &str, record: &[u8]) -> Result<Envelope> {
        let mut envelope = Envelope::new(provider, with, "", None);
        envelope.sealed = String::from_utf8(record.to_vec()).expect("JSON");
        Ok(envelope)
    }

    fn open(&self, envelope: &Envelope) -> Result<Option<Zeroizing<Vec<u8>>>> {
        self.wait();
        Ok(self.peek(envelope))
    }

    fn peek(&self, envelope: &Envelope) -> Option<Zeroizing<Vec<u8>>> {
        (self.state() == Key::Provided).then(|| Zeroizing::new(envelope.sealed.clone().into_bytes()))
    }
}

fn broker(world: &World, provider: &Arc<Scripted>, key: &Arc<LateKey>) -> Broker {
    let store: FileStore = files(world).with_sealer(key.clone());
    builder([(World::NAME, provider.clone())], Arc::new(store), world.context()).build()
}

/// Waits until a thread waits for the key, then provides the key. The calls of the same runtime must not block it.
async fn provide_late(key: &LateKey) {
    while key.state() != Key::Awaited {
        tokio::task::yield_now().await;
    }
    key.provide();
}

#[tokio::test]
async fn late_key_does_not_block_stored_or_other_tasks() {
    let (world, provider) = (World::new(), Scripted::numbered(TimeDelta::hours(1)));
    let usual = TokenRequest::new();
    assert_eq!(get(&broker(&world, &provider, &LateKey::provided()), &usual).await, "0");
    assert_eq!(world.record().expect("a record")["with"], METHOD);

    let key = Arc::<LateKey>::default();
    let late = broker(&world, &provider, &key);
    assert!(late.stored(World::NAME, &usual).expect("no error").is_none());
    assert_eq!(key.state(), Key::Unused);
    let (token, ()) = tokio::join!(get(&late, &usual), provide_late(&key));
    assert_eq!((token.as_str(), provider.exchanges()), ("0", 1));
    let stored = late.stored(World::NAME, &usual).expect("no error").expect("the key is in memory");
    assert_eq!(stored.secret().expose(), "0");
}

#[tokio::test]
async fn late_key_does_not_block_tasks_during_renewal_or_logout() {
    let (world, provider) = (World::new(), Scripted::numbered(TimeDelta::hours(1)));
    let force = TokenRequest::new().force();
    for expected in ["0", "1"] {
        // The first round waits for the key that will encrypt the new record.
        let key = Arc::<LateKey>::default();
        let late = broker(&world, &provider, &key);
        let (token, ()) = tokio::join!(get(&late, &force), provide_late(&key));
        assert_eq!(token, expected);
    }
    let key = Arc::<LateKey>::default();
    let late = broker(&world, &provider, &key);
    let (logged_out, ()) = tokio::join!(late.logout(World::NAME), provide_late(&key));
    assert!(logged_out.expect("a logout").had_login);
    assert!(world.record().is_none());
}

#[tokio::test]
async fn status_waits_for_the_key_of_the_record() {
    let (world, provider) = (World::new(), Scripted::numbered(TimeDelta::hours(1)));
    get(&broker(&world, &provider, &LateKey::provided()), &TokenRequest::new()).await;
    let key = Arc::<LateKey>::default();
    let late = broker(&world, &provider, &key);
    let status = tokio::task::spawn_blocking(move || late.status(World::NAME));
    provide_late(&key).await;
    assert_eq!(status.await.expect("no panic").expect("a status").tokens.len(), 1);
}
