//! Tests which requests get the token, and what happens after a 401, with the clients of both features.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
#![allow(dead_code, reason = "the examples and tests share a module")]

#[path = "../examples/fake/mod.rs"]
mod fake;

mod requests {
    mod client;
    mod hosts;
    mod redirects;
    mod rejected;
}
