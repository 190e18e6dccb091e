//! `broker exec --file`: runs the command as a child process, and renews the command's token files.

use std::fs::{File, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use broker_core::{SystemClock, platform};
use earthbroker::{Broker, Clock, Error, ErrorCode, Prompt, Token, TokenRequest};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::signal::SIGWINCH;
use signal_hook::low_level::{emulate_default_handler, raise};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::{ChildToken, not_run};
use crate::commands::{CommandContext, CommandResult, absolute};
use crate::format::plain;
use crate::harden::with_original_limits;
use crate::report::{ExitError, hint};
use crate::run::{Signals, runtime};
use crate::terminal::Terminal;

/// The longest pause between two checks of the wall clock. Timers stop while the machine sleeps.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// The shortest pause between two attempts to renew a token.
const MIN_PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(
    context: &CommandContext<'_>,
    broker: &Broker,
    request: &TokenRequest,
    tokens: Vec<ChildToken>,
    command: Command,
) -> CommandResult {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        // The signal handlers come before the token files, because a signal without a handler would leave the files behind.
        let mut signals = Signals::listen(&[SIGWINCH])?;
        let folder = Arc::new(Folder::make().map_err(|error| cannot_write(&error))?);
        let mut command = command;
        for ChildToken { provider, variable, token } in &tokens {
            folder.write(provider, plain(token)?).map_err(|error| cannot_write(&error))?;
            command.env(format!("{variable}_FILE"), folder.path_of(provider)).env_remove(variable);
        }
        let mut command = tokio::process::Command::from(command);
        let child = with_original_limits(|| command.spawn());
        let mut child = child.map_err(|error| not_run(command.as_std(), error))?;
        let mut renewals = JoinSet::new();
        for token in tokens {
            let (broker, request, folder) = (broker.clone(), request.clone(), folder.clone());
            let terminal = context.terminal.clone();
            renewals.spawn(async move { renew_forever(&broker, &request, &folder, &terminal, token).await });
        }
        let status = wait(&mut child, &mut signals).await;
        renewals.shutdown().await;
        broker.wait_idle().await;
        if let Some(Err(error)) = Arc::into_inner(folder).map(|folder| folder.folder.close()) {
            context.say(&format!("warning: cannot remove the token files: {error}"));
        }
        let failed = Error::failed("cannot wait for the command");
        status.map_err(|error| ExitError::from(failed.with_source(error)))
    });
    runtime.shutdown_background();
    end_as(ended?)
}

fn cannot_write(error: &std::io::Error) -> Error {
    Error::new(ErrorCode::WriteFailed, format!("cannot write the token file: {error}"))
        .with_hint("check that $XDG_RUNTIME_DIR or $TMPDIR is a folder that you can write to")
}

async fn wait(child: &mut Child, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    loop {
        let number = tokio::select! {
            status = child.wait() => return status,
            number = signals.next() => number,
        };
        if let (Some(signal), Some(pid)) = (Signal::from_named_raw(number), child.id())
            // A terminal sends the signals of its keys to all its foreground processes.
            && !([Signal::INT, Signal::QUIT, Signal::WINCH].contains(&signal) && in_foreground())
            && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
        {
            // Sending a signal fails if the command has already ended.
            let _ = kill_process(pid, signal);
        }
    }
}

/// Whether this process and its command are in the foreground of a terminal.
fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// Ends this process like the command: with the same exit code, or by the same signal.
fn end_as(status: ExitStatus) -> CommandResult {
    let Some(signal) = status.signal() else {
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
        return if code == 0 { Ok(()) } else { Err(ExitError::Code(code, None)) };
    };
    // No signal writes a core dump of this process: see `harden`.
    let _ = emulate_default_handler(signal);
    // The function above does not know all signals of Linux, such as realtime signals.
    let _ = raise(signal);
    Err(ExitError::Signal(signal))
}

/// Renews a provider's token, and writes each new token to the provider's file.
async fn renew_forever(
    broker: &Broker,
    request: &TokenRequest,
    folder: &Folder,
    terminal: &Terminal,
    ChildToken { provider, mut token, .. }: ChildToken,
) {
    let renew = async |old: &Token| -> earthbroker::Result<Token> {
        let token = broker.token(&provider, request).await?;
        if !token.secret().same_as(old.secret()) {
            let written = folder.write(&provider, plain(&token)?);
            written.map_err(|error| cannot_write(&error).for_provider(&provider))?;
        }
        Ok(token)
    };
    let mut reported = false;
    loop {
        tokio::time::sleep(pause(&token)).await;
        match renew(&token).await {
            Ok(renewed) => (token, reported) = (renewed, false),
            Err(error) if !reported => {
                let hint = hint(&error).map(|hint| format!(" ({hint})")).unwrap_or_default();
                let why = error.message();
                terminal.notify(&format!(
                    "{provider}: cannot renew the token, the file keeps its old token: {why}{hint}"
                ));
                reported = true;
            }
            Err(_) => {}
        }
    }
}

/// Returns how long to wait before checking again whether the token needs renewal.
fn pause(token: &Token) -> Duration {
    let window = token.window();
    let due = window.renews_at().map(|at| (at - SystemClock.now()).to_std().unwrap_or_default());
    let min = window.retry_pause(0.0).to_std().unwrap_or(MIN_PAUSE).clamp(MIN_PAUSE, MAX_PAUSE);
    due.unwrap_or(MAX_PAUSE).clamp(min, MAX_PAUSE)
}

/// The prefix of the temporary folders for token files.
const PREFIX: &str = "broker-exec-";

/// A private folder, removed when dropped. This process locks the folder. A folder without a lock belongs to a killed
/// process.
struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Creates a folder in `XDG_RUNTIME_DIR`, or else in the system's temporary folder.
    fn make() -> std::io::Result<Self> {
        if let Some(Ok(folder)) = absolute("XDG_RUNTIME_DIR").as_deref().map(Self::make_in) {
            return Ok(folder);
        }
        // The path is absolute, because the user's command may change the working folder.
        Self::make_in(&std::path::absolute(std::env::temp_dir())?)
    }

    fn make_in(base: &Path) -> std::io::Result<Self> {
        sweep(base);
        for _ in 0..16 {
            let permissions = Permissions::from_mode(0o700);
            let mut builder = tempfile::Builder::new();
            let folder = builder.prefix(PREFIX).permissions(permissions.clone()).tempdir_in(base)?;
            // The umask may have removed permissions from the new folder.
            let _ = std::fs::set_permissions(folder.path(), permissions);
            // Until the folder is locked, another process may treat it as abandoned and delete it.
            let lock = match open(folder.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let swept = matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) || !folder.path().exists();
            if !swept {
                return Ok(Self { folder, _lock: lock });
            }
        }
        let why = "another process keeps removing the new folder for token files";
        Err(std::io::Error::new(ErrorKind::ResourceBusy, why))
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with mode 0600 atomically.
    fn write(&self, name: &str, line: &str) -> std::io::Result<()> {
        platform::write_private(&self.path_of(name), Zeroizing::new(format!("{line}\n")).as_bytes())
    }
}

/// Removes the token folders that killed processes of this user left behind.
fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && let Ok(folder) = open(&path)
            && folder.metadata().is_ok_and(|about| platform::is_own(&about))
            && folder.try_lock().is_ok()
        {
            // If the removal fails, the next `broker exec --file` tries to remove the folder again.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Opens a folder. Fails if `path` is a symbolic link.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}
