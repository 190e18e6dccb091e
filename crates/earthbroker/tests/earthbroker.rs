//! Runs the examples of this crate, and its calls against fake services.

#![allow(clippy::expect_used, reason = "tests")]

mod earthbroker {
    mod blocking;
    mod handles;
    mod lab;
}
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
