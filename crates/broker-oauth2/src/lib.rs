//! OAuth 2.0 as far as a client of several services needs it: device code (RFC 8628), client credentials and
//! refresh (RFC 6749), revocation (RFC 7009). A handful of form posts; what real servers send is read leniently.

mod answer;
mod authorization;
mod device;
mod provider;
mod token;

pub use answer::TokenAnswer;
pub use authorization::CodeFlow;
pub use device::{Approved, DeviceFlow};
pub use provider::KIND;
pub use token::{ClientAuth, Refreshed, TokenEndpoint, revoked};
