//! Measures how long the `broker` crate takes to return a stored token from its file store.

use std::time::Duration;

use earthbroker::{Token, TokenRequest};
use tokio::runtime::Runtime;

use super::{Contender, ready, repeat};
use crate::service::{PROVIDERS, World};

struct Stored(World);

struct Awaited(World);

/// Returns the benchmarks of two broker methods, `stored` and `token`. Both return a stored token.
pub fn ours(runtime: &Runtime) -> Vec<Box<dyn Contender>> {
    vec![Box::new(Stored(filled(runtime))), Box::new(Awaited(filled(runtime)))]
}

/// Creates a broker that has a stored token for each provider.
fn filled(runtime: &Runtime) -> World {
    let world = World::new(Duration::ZERO);
    for provider in PROVIDERS {
        runtime.block_on(world.broker.token(provider, &TokenRequest::new())).expect("a token");
    }
    world
}

impl Contender for Stored {
    fn name(&self) -> &'static str {
        "broker stored()"
    }

    fn get(&self, token: usize, calls: u32) {
        let (broker, request) = (&self.0.broker, TokenRequest::new());
        repeat(calls, || -> Token {
            broker.stored(PROVIDERS[token], &request).expect("a readable store").expect("a stored token")
        });
    }
}

impl Contender for Awaited {
    fn name(&self) -> &'static str {
        "broker token().await"
    }

    fn get(&self, token: usize, calls: u32) {
        let (broker, request) = (&self.0.broker, TokenRequest::new());
        repeat(calls, || -> Token { ready(broker.token(PROVIDERS[token], &request)).expect("a token") });
    }
}
