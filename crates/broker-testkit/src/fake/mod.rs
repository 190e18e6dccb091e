//! Fake servers on loopback: `EarthScope`, `EarthDaily`, Carbon Mapper, and a generic token service.
//!
//! Each server has its own thread and tokio runtime, so that sync and async tests can use it. The server listens on a
//! free port of `127.0.0.1` and stops when dropped.

mod carbonmapper;
mod connection;
mod earthdaily;
mod earthscope;
mod fault;
mod http;
mod server;
mod time;
mod token_service;
mod tokens;

pub use carbonmapper::{CarbonMapper, CarbonMapperOptions};
pub use earthdaily::{Auth, EarthDaily, EarthDailyOptions};
pub use earthscope::{EarthScope, EarthScopeOptions};
pub use fault::Fault;
pub(crate) use http::HANG_HEADER;
pub use http::Seen;
pub use server::{Fake, HoldGuard, Server};
pub use time::Now;
pub use token_service::{TokenService, TokenServiceOptions};
pub use tokens::{ExpiresIn, Rotation};
