//! Async work, and the signals that may come while it runs.

use std::future::poll_fn;
use std::task::Poll;

use broker::{Broker, Error, Result};
use rustix::process::Signal as Raw;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::report::ExitError;
use crate::terminal;

/// The signals that would end the process at once.
pub(crate) struct Signals {
    heard: Vec<(SignalKind, Signal)>,
    /// A file that grows beyond a limit: heard, so that the write fails instead, and nothing else.
    _file_too_big: Signal,
}

impl Signals {
    /// Hears these and `more`.
    pub(crate) fn listen(more: &[SignalKind]) -> Result<Self> {
        Self::hear(more).map_err(|error| Error::failed("signals cannot be heard").with_source(error))
    }

    fn hear(more: &[SignalKind]) -> std::io::Result<Self> {
        // Ctrl-C, Ctrl-\, a closed terminal, and what batch systems and limits send.
        let ending = [
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::hangup(),
            SignalKind::terminate(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::alarm(),
            SignalKind::from_raw(Raw::XCPU.as_raw()),
        ];
        let ignored = ignored();
        let heard = ending.iter().chain(more).filter(|kind| ignored >> (kind.as_raw_value() - 1) & 1 == 0);
        let heard = heard.map(|kind| Ok((*kind, signal(*kind)?)));
        Ok(Self {
            heard: heard.collect::<std::io::Result<_>>()?,
            _file_too_big: signal(SignalKind::from_raw(Raw::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the next, and gives its number.
    pub(crate) async fn next(&mut self) -> u8 {
        poll_fn(|context| {
            let mut came = |signal: &mut Signal| signal.poll_recv(context).is_ready();
            let mut heard = self.heard.iter_mut();
            match heard.find_map(|(kind, signal)| Some(*kind).filter(|_| came(signal))) {
                // A signal's number fits a byte on every Unix.
                Some(kind) => Poll::Ready(u8::try_from(kind.as_raw_value()).unwrap_or(u8::MAX)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// The signals that this process was told to ignore, as bits from the first: a handler in their place would undo
/// `nohup`, and a program that is run from here would not inherit it.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default()
}

/// A runtime of this thread alone.
pub(crate) fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Error::failed("no runtime can be had").with_source(error))
}

/// Runs work to its end, or until a signal that ends it; that waits until what a service gave is saved.
pub(crate) fn run<T>(
    broker: &Broker,
    work: impl Future<Output = Result<T>>,
) -> std::result::Result<T, ExitError> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen(&[])?;
        let number = tokio::select! {
            result = work => return result.map_err(ExitError::from),
            number = signals.next() => number,
        };
        broker.wait_idle().await;
        Err(ExitError::Signal(number))
    });
    // A prompt may still wait for an answer in a thread of its own.
    runtime.shutdown_background();
    terminal::restore();
    ended
}
