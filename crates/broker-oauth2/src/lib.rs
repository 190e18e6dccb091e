//! OAuth 2.0 as far as a client of several services needs it: device code (RFC 8628), authorization code, client
//! credentials, password and refresh (RFC 6749), token exchange (RFC 8693), revocation (RFC 7009), introspection
//! (RFC 7662), and where a service has all that (RFC 8414). A handful of form posts; what real servers send is read
//! leniently. [`KIND`] is a provider of any such service, by configuration.

mod answer;
mod authorization;
mod client;
mod device;
mod discovery;
mod login;
mod provider;
mod token;

pub use answer::TokenAnswer;
pub use authorization::CodeFlow;
pub use client::{ClientAuth, ClientKey};
pub use device::DeviceFlow;
pub use login::{PersonLogin, account};
pub use provider::KIND;
pub use token::{Approved, Refreshed, TokenEndpoint, revoked};
