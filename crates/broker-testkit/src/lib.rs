//! Tools to test providers: fake servers, a test clock, and the conformance suite.
//!
//! [`conformance`] is the suite that every provider must pass. The suite runs in a [`World`] of [`TestClock`],
//! [`TestEnv`] and [`TestPrompt`]. [`fake`] contains loopback servers for `EarthScope`, `EarthDaily`, Carbon Mapper and
//! a generic [`TokenService`]. Tests inject faults into these servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a panic in this test support code fails the test"
)]

mod clock;
pub mod conformance;
pub mod fake;
mod official;
mod world;

pub use clock::TestClock;
pub use official::official_readings;
pub use world::{TestEnv, TestPrompt, World};

pub use fake::{
    Auth, CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions,
    ExpiresIn, Fake, Fault, Now, Rotation, Seen, Server, TokenService, TokenServiceOptions,
};
