//! The measured caches.

#[cfg(feature = "peers")]
mod aws;
#[cfg(feature = "peers")]
mod azure;
mod bare;
#[cfg(feature = "peers")]
mod google;
mod ours;

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tokio::runtime::Runtime;

/// A cache with two tokens.
pub trait Contender: Sync {
    /// Returns its name in the table.
    fn name(&self) -> &'static str;

    /// Gets the token with this number repeatedly.
    fn get(&self, token: usize, calls: u32);
}

/// Returns all contenders, the broker first.
pub fn all(runtime: &Runtime) -> Vec<Box<dyn Contender>> {
    let mut all = ours(runtime);
    all.extend(bare::contenders());
    #[cfg(feature = "peers")]
    all.extend([aws::contender(runtime), azure::contender(), google::contender(runtime)]);
    all
}

/// Returns the broker's contenders.
pub fn ours(runtime: &Runtime) -> Vec<Box<dyn Contender>> {
    ours::contenders(runtime)
}

/// Calls a function repeatedly.
fn repeat<T>(calls: u32, mut get: impl FnMut() -> T) {
    for _ in 0..calls {
        black_box(get());
    }
}

/// Returns the result of a future that is ready immediately.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => ready,
        Poll::Pending => panic!("a stored token is ready immediately"),
    }
}
