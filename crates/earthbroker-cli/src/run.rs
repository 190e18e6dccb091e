//! Runs async work until the work ends or a signal arrives.

use std::future::poll_fn;
use std::task::Poll;

use earthbroker::{Broker, Error, Result};
#[cfg(target_os = "linux")]
use rustix::process::Signal as Raw;
use signal_hook::consts::signal::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
    SIGXFSZ,
};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::commands::CommandResult;
use crate::report::ExitError;
use crate::terminal;

/// The signals that end a process and that users, the keyboard, closed terminals, batch systems, watchdogs, timers and
/// resource limits send.
const ENDING: [i32; 11] =
    [SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGABRT, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU];

/// More such signals. Other systems have no SIGPWR, and ignore SIGIO.
#[cfg(target_os = "linux")]
const ENDING_ON_LINUX: [i32; 2] = [Raw::POWER.as_raw(), Raw::IO.as_raw()];
#[cfg(not(target_os = "linux"))]
const ENDING_ON_LINUX: [i32; 0] = [];

/// Handlers for the signals that would end this process.
pub(crate) struct Signals {
    handled: Vec<(i32, Signal)>,
    /// Catches SIGXFSZ. A write beyond the file size limit then returns an error instead of ending this process.
    _file_too_big: Signal,
}

impl Signals {
    /// Installs handlers for the signals that would end this process, and for the signals in `more`.
    pub(crate) fn listen(more: &[i32]) -> Result<Self> {
        let ignored = ignored();
        let numbers = ENDING.iter().chain(&ENDING_ON_LINUX).chain(more).copied();
        let numbers = numbers.filter(|number| ignored >> (number - 1) & 1 == 0);
        let listen = |number| {
            let listened = signal(SignalKind::from_raw(number));
            listened.map_err(|error| Error::failed("cannot install signal handlers").with_source(error))
        };
        let handled = numbers.map(|number| Ok((number, listen(number)?))).collect::<Result<_>>()?;
        Ok(Self { handled, _file_too_big: listen(SIGXFSZ)? })
    }

    /// Waits for the next signal and returns its number.
    pub(crate) async fn next(&mut self) -> i32 {
        poll_fn(|context| {
            let mut handled = self.handled.iter_mut();
            let caught = handled.find_map(|(number, it)| it.poll_recv(context).is_ready().then_some(*number));
            caught.map_or(Poll::Pending, Poll::Ready)
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
    runtime.map_err(|error| Error::failed("cannot start the async runtime").with_source(error))
}

/// Runs async work until the work ends or a signal arrives. After a signal, waits until all responses are saved.
pub(crate) fn run<T>(broker: &Broker, work: impl Future<Output = Result<T>>) -> CommandResult<T> {
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
