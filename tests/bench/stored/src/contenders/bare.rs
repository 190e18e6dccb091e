//! Measures a plain map with a lock, which neither renews tokens nor shares them with other processes.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use super::{Contender, repeat};
use crate::service::{PROVIDERS, secret};

/// A map of tokens behind a lock. `T` is the type of the token.
struct Bare<T> {
    name: &'static str,
    tokens: RwLock<HashMap<String, (T, Instant)>>,
}

pub(super) fn contenders() -> [Box<dyn Contender>; 2] {
    [
        Box::new(Bare::<Arc<str>>::new("RwLock<HashMap>, Arc<str>")),
        Box::new(Bare::<String>::new("RwLock<HashMap>, String")),
    ]
}

impl<T: From<String>> Bare<T> {
    fn new(name: &'static str) -> Self {
        let until = Instant::now() + Duration::from_hours(24);
        let tokens = PROVIDERS.map(|name| (name.to_owned(), (T::from(secret()), until)));
        Self { name, tokens: RwLock::new(tokens.into()) }
    }
}

impl<T: Clone + Send + Sync> Contender for Bare<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn get(&self, token: usize, calls: u32) {
        repeat(calls, || {
            let tokens = self.tokens.read().expect("no panic");
            let stored = tokens.get(PROVIDERS[token]).filter(|(_, until)| Instant::now() < *until);
            stored.map(|(token, _)| token.clone()).expect("a stored token")
        });
    }
}
