//! Tokens, their expiry, and requests for tokens. This layer does no I/O and has no async code.

mod access_token;
pub(crate) mod bounds;
mod claims;
pub(crate) mod expiry;
mod header;
mod request;
mod sanitize;
mod secret;
mod window;
pub(crate) mod zeroizing;

pub use access_token::Token;
pub use bounds::later;
pub use claims::Claims;
pub use expiry::{Expiry, seconds, text_at, text_in, value_at};
pub use header::Header;
pub(crate) use header::sensitive;
pub use request::{Derived, Lifetime, ScopeKey, TokenRequest};
pub use sanitize::{is_unsafe, sanitize, without_query};
pub(crate) use sanitize::{optional as optional_shown, shown};
pub use secret::{Secret, fingerprint, is_utf16, utf8};
pub use window::{Phase, Window};
