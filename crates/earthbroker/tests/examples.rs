//! Runs the examples of this crate as tests.

#![allow(clippy::expect_used, reason = "tests")]

#[path = "../examples/embed.rs"]
mod embed;
#[path = "../examples/own_provider.rs"]
mod own_provider;

#[test]
fn embed_example_program_runs() {
    embed::main().expect("the example runs");
}

#[test]
fn custom_provider_example_program_runs() {
    own_provider::main().expect("the example runs");
}

#[test]
fn broker_and_token_types_are_send_sync_and_clone() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<earthbroker::Broker>();
    check::<earthbroker::Token>();
    check::<earthbroker::Secret>();
    check::<earthbroker::Error>();
}
