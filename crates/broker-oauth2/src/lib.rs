//! An OAuth 2.0 client: device code (RFC 8628), authorization code, client credentials, password and refresh (RFC
//! 6749), token exchange (RFC 8693), revocation (RFC 7009), introspection (RFC 7662), discovery (RFC 8414). Responses
//! may deviate from the RFCs as those of real servers do. The feature `provider` adds `KIND`, a provider that
//! users configure.

#![cfg_attr(not(feature = "provider"), allow(dead_code, reason = "code for the feature `provider`"))]

mod answer;
#[cfg(feature = "provider")]
mod authorization;
mod client;
mod device;
#[cfg(feature = "provider")]
mod discovery;
#[cfg(feature = "provider")]
mod key;
#[cfg(not(feature = "provider"))]
#[path = "no_key.rs"]
mod key;
#[cfg(feature = "provider")]
mod provider;
mod token;

pub use answer::{TokenAnswer, account};
#[cfg(feature = "provider")]
pub use authorization::CodeFlow;
pub use client::{BasicSpelling, ClientAuth};
pub use device::DeviceFlow;
pub use key::ClientKey;
#[cfg(feature = "provider")]
pub use provider::KIND;
pub use token::{TokenEndpoint, revoked};
