//! What the broker and its providers, also those of others, are tested and shown with; no part of the binary.
//!
//! [`conformance`] is the suite that every provider runs through, with [`TestClock`], [`TestEnv`] and
//! [`TestPrompt`] as its world. [`fake`] has the three services, and [`TokenService`] for any
//! other, as loopback servers, each with faults that a test or a demo injects.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a fake server that breaks should fail its test at once"
)]

mod clock;
pub mod conformance;
pub mod fake;
mod world;

pub use clock::TestClock;
pub use world::{TestEnv, TestPrompt, World};

pub use fake::{
    Auth, CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions,
    ExpiresIn, Fault, Now, Rotation, Seen, Server, TokenService, TokenServiceOptions, system_clock,
};
