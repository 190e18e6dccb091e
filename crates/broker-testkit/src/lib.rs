//! What the broker is tested and shown with; no part of a release.
//!
//! [`standin`] has the three services as loopback servers, each with faults that a test or a demo injects.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a stand-in that breaks should fail its test at once"
)]

pub mod standin;

pub use standin::{
    Auth, CarbonMapper, CarbonMapperOptions, EarthDaily, EarthDailyOptions, EarthScope, EarthScopeOptions,
    ExpiresIn, Fault, Now, Rotation, Seen, Server, system_clock,
};
