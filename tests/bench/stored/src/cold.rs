//! Counts the token exchanges that a thousand concurrent tasks cause if no token is stored.

use std::sync::atomic::Ordering;
use std::time::Duration;

use earthbroker::TokenRequest;
use tokio::runtime::Runtime;

use crate::service::{PROVIDERS, World};

/// Runs a thousand concurrent tasks, and returns whether they cause only one token exchange.
pub fn exchanges_once(runtime: &Runtime) -> bool {
    let world = World::new(Duration::from_millis(50));
    let start = |_| {
        let broker = world.broker.clone();
        runtime.spawn(async move { broker.token(PROVIDERS[0], &TokenRequest::new()).await })
    };
    let tasks: Vec<_> = (0..1000).map(start).collect();
    for task in tasks {
        runtime.block_on(task).expect("a task").expect("a token");
    }
    let exchanges = world.service.exchanges.load(Ordering::SeqCst);
    println!("1000 tasks: {exchanges} exchange");
    exchanges == 1
}
