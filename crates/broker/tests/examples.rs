//! The examples do what they say.

#![allow(clippy::expect_used, reason = "tests")]

#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/own_provider.rs"]
mod own_provider;

#[test]
fn embed() {
    embed::main().expect("the example runs");
}

#[test]
fn own_provider() {
    own_provider::main().expect("the example runs");
}

/// What is shared between threads and tasks.
#[test]
fn the_broker_is_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<broker::Broker>();
    check::<broker::Token>();
    check::<broker::Secret>();
    check::<broker::Error>();
}
