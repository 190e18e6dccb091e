//! Who is measured.

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

/// A cache that holds two tokens.
pub trait Contender: Sync {
    /// As it stands in the table.
    fn name(&self) -> &'static str;

    /// Asks so often for the token of this number.
    fn ask(&self, token: usize, calls: u32);
}

/// All, the broker first.
pub fn all(runtime: &Runtime) -> Vec<Box<dyn Contender>> {
    let mut all = ours(runtime);
    all.extend(bare::contenders());
    #[cfg(feature = "peers")]
    all.extend([aws::contender(runtime), azure::contender(), google::contender(runtime)]);
    all
}

/// The broker's.
pub fn ours(runtime: &Runtime) -> Vec<Box<dyn Contender>> {
    ours::contenders(runtime)
}

/// Asks so often by a call that gives a token.
fn repeat<T>(calls: u32, mut ask: impl FnMut() -> T) {
    for _ in 0..calls {
        black_box(ask());
    }
}

/// What is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => ready,
        Poll::Pending => panic!("a held token is there at once"),
    }
}
