//! Async work, and the signals that may come while it runs.

use broker::{Broker, Error, Result};
use tokio::signal::unix::{SignalKind, signal};

use crate::report::End;
use crate::terminal;

/// Runs work to its end, or until INT, TERM or HUP; a signal waits until what a service gave is saved.
pub(crate) fn run<T>(broker: &Broker, work: impl Future<Output = Result<T>>) -> std::result::Result<T, End> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed("no runtime can be had").with_source(error))?;
    let ended = runtime.block_on(async {
        let failed = |error| Error::failed("signals cannot be heard").with_source(error);
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
        let number = tokio::select! {
            result = work => return result.map_err(End::from),
            _ = interrupt.recv() => 2,
            _ = terminate.recv() => 15,
            _ = hang_up.recv() => 1,
        };
        broker.settled().await;
        Err(End::Signal(number))
    });
    // A prompt may still wait for an answer in a thread of its own.
    runtime.shutdown_background();
    terminal::restore();
    ended
}
