//! `broker exec --file`: the command runs beside the broker, which renews its files.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Clock, Error, Prompt, SystemClock, Token, TokenRequest};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::Child;
use tokio::signal::unix::SignalKind;
use tokio::task::JoinSet;

use super::folder::Folder;
use super::{Given, not_run};
use crate::commands::{CommandContext, CommandResult};
use crate::format::plain;
use crate::harden::as_started;
use crate::hints;
use crate::report::ExitError;
use crate::run::{Signals, runtime};
use crate::terminal::Terminal;

/// The longest time between two looks at the clock on the wall, which goes on while the machine sleeps.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// The shortest time between two tries to renew.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(
    context: &CommandContext<'_>,
    broker: &Broker,
    request: &TokenRequest,
    given: Vec<Given>,
    command: Command,
) -> CommandResult {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        // From here on a signal leaves no file behind.
        let mut signals = Signals::listen(&[SignalKind::window_change()])?;
        let folder = Arc::new(Folder::make().map_err(|error| no_files(&error))?);
        let mut command = command;
        for Given { provider, variable, token } in &given {
            folder.write(provider, plain(token)?).map_err(|error| no_files(&error))?;
            command.env(format!("{variable}_FILE"), folder.path_of(provider)).env_remove(variable);
        }
        let mut command = tokio::process::Command::from(command);
        let child = as_started(|| command.spawn());
        let mut child = child.map_err(|error| not_run(command.as_std(), error))?;
        let mut keepers = JoinSet::new();
        for given in given {
            let keeper = Keeper {
                broker: broker.clone(),
                request: request.clone(),
                folder: folder.clone(),
                terminal: context.terminal.clone(),
                given,
            };
            keepers.spawn(keeper.keep());
        }
        let status = attend(&mut child, &mut signals).await;
        keepers.shutdown().await;
        broker.wait_idle().await;
        if let Some(Err(error)) = Arc::into_inner(folder).map(Folder::remove) {
            context.say(&format!("warning: the files of the command are not removed: {error}"));
        }
        status.map_err(|error| ExitError::from(Error::failed("the command is lost").with_source(error)))
    });
    runtime.shutdown_background();
    end_as(ended?)
}

fn no_files(error: &std::io::Error) -> Error {
    Error::failed(format!("the token's file cannot be made: {error}"))
        .with_hint("see whether $XDG_RUNTIME_DIR or $TMPDIR is a folder that you can write to")
}

/// Waits for the command, and hands on signals that it has not got itself.
async fn attend(child: &mut Child, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    loop {
        let number = tokio::select! {
            status = child.wait() => return status,
            number = signals.next() => i32::from(number),
        };
        if let (Some(signal), Some(pid)) = (Signal::from_named_raw(number), child.id())
            && !(from_keys(signal) && in_foreground())
            && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended since.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whether a terminal sends it, to each process that it has in its foreground.
fn from_keys(signal: Signal) -> bool {
    [Signal::INT, Signal::QUIT, Signal::WINCH].contains(&signal)
}

/// Whether this process and the command are in the foreground of a terminal.
fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// Ends as the command has ended, by the same signal if one ended it.
fn end_as(status: ExitStatus) -> CommandResult {
    let Some(signal) = status.signal() else {
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        return if code == 0 { Ok(()) } else { Err(ExitError::Code(code, None)) };
    };
    // A new program in this process has no handlers left; whoever waits for it sees the signal.
    let script = "ulimit -c 0; kill -\"$1\" $$; exit $((128 + $1))";
    let _ = Command::new("/bin/sh").args(["-c", script, "sh", &signal.to_string()]).exec();
    Err(ExitError::Signal(u8::try_from(signal).unwrap_or_default()))
}

/// Who keeps one file new.
struct Keeper {
    broker: Broker,
    request: TokenRequest,
    folder: Arc<Folder>,
    terminal: Arc<Terminal>,
    given: Given,
}

impl Keeper {
    async fn keep(mut self) {
        let mut told = false;
        loop {
            tokio::time::sleep(pause(&self.given.token)).await;
            match self.renew().await {
                Ok(()) => told = false,
                Err(error) if !told => {
                    let hint = hints::hint(&error).map(|hint| format!(" ({hint})")).unwrap_or_default();
                    let (provider, why) = (&self.given.provider, error.message());
                    self.terminal.notify(&format!("{provider}: the file keeps its old token: {why}{hint}"));
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn renew(&mut self) -> broker::Result<()> {
        let provider = &self.given.provider;
        let token = self.broker.token(provider, &self.request).await?;
        if !token.secret().same_as(self.given.token.secret()) {
            let line = plain(&token)?;
            let written = self.folder.write(provider, line);
            written.map_err(|error| no_files(&error).for_provider(provider))?;
            self.given.token = token;
        }
        Ok(())
    }
}

/// How long to leave a token alone. Most looks find it held: the broker knows when a service is asked.
fn pause(token: &Token) -> Duration {
    let window = token.window();
    let due = window.renews_at().map(|at| (at - SystemClock.now()).to_std().unwrap_or_default());
    let shortest =
        window.retry_pause(0.0).to_std().unwrap_or(SHORTEST_PAUSE).clamp(SHORTEST_PAUSE, LOOK_AGAIN);
    due.unwrap_or(LOOK_AGAIN).clamp(shortest, LOOK_AGAIN)
}
