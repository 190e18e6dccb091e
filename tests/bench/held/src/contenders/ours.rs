//! The broker: a file store, the machine's clock.

use std::time::Duration;

use broker::{Token, TokenRequest};
use tokio::runtime::Runtime;

use super::{Contender, ready, repeat};
use crate::service::{PROVIDERS, World};

struct Held(World);

struct Awaited(World);

pub(super) fn contenders(runtime: &Runtime) -> Vec<Box<dyn Contender>> {
    vec![Box::new(Held(filled(runtime))), Box::new(Awaited(filled(runtime)))]
}

/// A broker that has the tokens.
fn filled(runtime: &Runtime) -> World {
    let world = World::new(Duration::ZERO);
    for provider in PROVIDERS {
        let filled = runtime.block_on(world.broker.token(provider, &TokenRequest::new()));
        filled.expect("a token");
    }
    world
}

impl Contender for Held {
    fn name(&self) -> &'static str {
        "broker held"
    }

    fn ask(&self, token: usize, calls: u32) {
        let (broker, request) = (&self.0.broker, TokenRequest::new());
        repeat(calls, || -> Token {
            broker.stored(PROVIDERS[token], &request).expect("a look").expect("it is held")
        });
    }
}

impl Contender for Awaited {
    fn name(&self) -> &'static str {
        "broker token().await"
    }

    fn ask(&self, token: usize, calls: u32) {
        let (broker, request) = (&self.0.broker, TokenRequest::new());
        repeat(calls, || -> Token { ready(broker.token(PROVIDERS[token], &request)).expect("a token") });
    }
}
