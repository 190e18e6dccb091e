//! What the broker and its providers, also those of others, are tested and shown with; no part of the binary.
//!
//! [`conformance`] is the suite that every provider runs through, with [`TestClock`], [`TestEnv`] and
//! [`TestPerson`] as its world. [`standin`] has the three services, and [`TokenService`] for any
//! other, as loopback servers, each with faults that a test or a demo injects.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a stand-in that breaks should fail its test at once"
)]

mod clock;
pub mod conformance;
pub mod standin;
mod world;

pub use clock::TestClock;
pub use world::{TestEnv, TestPerson, World};

pub use standin::{
    Auth, CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions,
    ExpiresIn, Fault, Now, Rotation, Seen, Server, TokenService, TokenServiceOptions, system_clock,
};
