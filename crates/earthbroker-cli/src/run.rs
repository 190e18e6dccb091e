//! Runs async work until the work ends or a signal arrives.

use std::future::poll_fn;
use std::task::Poll;

use earthbroker::{Broker, Error, ErrorCode, Result};
use rustix::process::Signal as Raw;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::report::ExitError;
use crate::terminal;

/// The signals that end a process and that users, the keyboard, closed terminals, batch systems, watchdogs, timers and
/// resource limits send.
const ENDING: &[Raw] = &[
    Raw::INT,
    Raw::QUIT,
    Raw::HUP,
    Raw::TERM,
    Raw::USR1,
    Raw::USR2,
    Raw::ABORT,
    Raw::ALARM,
    Raw::VTALARM,
    Raw::PROF,
    Raw::XCPU,
    // Other systems have no SIGPWR, and ignore SIGIO.
    #[cfg(target_os = "linux")]
    Raw::POWER,
    #[cfg(target_os = "linux")]
    Raw::IO,
];

/// Handlers for the signals that would end this process.
pub(crate) struct Signals {
    handled: Vec<(SignalKind, Signal)>,
    /// Catches SIGXFSZ. A write beyond the file size limit then returns an error instead of ending this process.
    _file_too_big: Signal,
}

impl Signals {
    /// Installs handlers for the signals that would end this process, and for the signals in `more`.
    pub(crate) fn listen(more: &[SignalKind]) -> Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorCode::Internal, "cannot install signal handlers").with_source(error)
        };
        let kind = |signal: Raw| SignalKind::from_raw(signal.as_raw());
        let ending = ENDING.iter().copied().map(kind);
        let ignored = ignored();
        let kinds =
            ending.chain(more.iter().copied()).filter(|kind| ignored >> (kind.as_raw_value() - 1) & 1 == 0);
        let handled = kinds.map(|kind| Ok((kind, signal(kind).map_err(failed)?)));
        let handled = handled.collect::<Result<_>>()?;
        Ok(Self { handled, _file_too_big: signal(kind(Raw::XFSZ)).map_err(failed)? })
    }

    /// Waits for the next signal and returns its number.
    pub(crate) async fn next(&mut self) -> u8 {
        poll_fn(|context| {
            let mut handled = self.handled.iter_mut();
            match handled.find_map(|(kind, signal)| signal.poll_recv(context).is_ready().then_some(*kind)) {
                Some(kind) => Poll::Ready(u8::try_from(kind.as_raw_value()).unwrap_or(u8::MAX)),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Returns the signals that this process ignores, as a bit mask. A handler for such a signal would undo `nohup` for this
/// process and the user's command.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or_default()
}

pub(crate) fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let failed = Error::new(ErrorCode::Internal, "cannot start the async runtime");
    runtime.map_err(|error| failed.with_source(error))
}

/// Runs async work until the work ends or a signal arrives. After a signal, waits until all responses are saved.
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
    // The runtime does not wait for its threads, because a question to the user may still block a thread.
    runtime.shutdown_background();
    terminal::restore();
    ended
}
