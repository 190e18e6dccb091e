//! The token caches that the benchmark compares.

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

pub use ours::ours;
use tokio::runtime::Runtime;

/// A token cache whose speed is measured. The cache stores two tokens.
pub trait Contender: Sync {
    fn name(&self) -> &'static str;

    /// Gets the stored token with index `token` (0 or 1), `calls` times.
    fn get(&self, token: usize, calls: u32);
}

pub fn all(runtime: &Runtime) -> Vec<Box<dyn Contender>> {
    let mut all = ours(runtime);
    all.extend(bare::contenders());
    #[cfg(feature = "peers")]
    all.extend([aws::contender(runtime), azure::contender(), google::contender(runtime)]);
    all
}

fn repeat<T>(calls: u32, mut get: impl FnMut() -> T) {
    for _ in 0..calls {
        black_box(get());
    }
}

/// Polls a future once, and returns its result. Panics if the future is not ready.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => ready,
        Poll::Pending => panic!("the cache must return a stored token without a wait"),
    }
}
