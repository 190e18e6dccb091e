//! Fake servers for the three services, and one for any other, on loopback.
//!
//! Each runs on a thread of its own with a runtime of its own, so that sync and async tests use it alike, listens on
//! `127.0.0.1` at a free port, and stops when dropped. "Facts" are the notes on how the real services behave.

mod carbonmapper;
mod earthdaily;
mod earthscope;
mod expires_in;
mod fault;
mod http;
mod line;
mod random;
mod refresh;
mod server;
mod time;
mod token_service;

pub use carbonmapper::{CarbonMapper, CarbonMapperOptions};
pub use earthdaily::{Auth, EarthDaily, EarthDailyOptions};
pub use earthscope::{EarthScope, EarthScopeOptions};
pub use expires_in::ExpiresIn;
pub use fault::Fault;
pub use http::Seen;
pub use refresh::Rotation;
pub use server::{Held, Server};
pub use time::{Now, system_clock};
pub use token_service::{TokenService, TokenServiceOptions};

use std::sync::{Mutex, MutexGuard};

/// Locks; a panic of another thread while it held the lock fails this one too.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("another thread of the fake server broke")
}
