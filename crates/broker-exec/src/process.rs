//! The process of a plugin: pipes, limits and shutdown.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::{Env, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::program::Program;

/// The limits of one line and of all output of a plugin, in bytes.
pub(crate) const MAX_LINE: usize = 1 << 20;
const MAX_OUTPUT: usize = 4 << 20;

/// The limit of stored stderr. Further output is discarded.
const MAX_STDERR: usize = 64 * 1024;

/// How long a plugin may take to exit after its last response.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a plugin may take to exit after SIGTERM.
const TERM_TIMEOUT: Duration = Duration::from_millis(500);

/// How long to read remaining output after a plugin or another program has exited.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);

/// How long to read the remaining output of a killed plugin. Short, because the new tokens are not saved yet.
const KILL_DRAIN_TIMEOUT: Duration = Duration::from_millis(20);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How to end a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// Kills the plugin at once: its response is complete, and the broker must save the new tokens without delay.
    Kill,
    /// Sends SIGTERM, because the plugin violated the protocol.
    Terminate,
    /// Waits until the plugin exits.
    Wait,
}

/// A running plugin. The plugin's process group is not the broker's, so Ctrl-C reaches only the broker.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr_task: JoinHandle<()>,
    /// The collected stderr. More than [`MAX_STDERR`] bytes mean that the rest was discarded.
    stderr: Arc<Mutex<Zeroizing<Vec<u8>>>>,
    buffer: Zeroizing<Vec<u8>>,
    bytes_read: usize,
    stdout_closed: bool,
}

impl Process {
    pub(crate) fn start(program: &Program, env: &dyn Env) -> Result<Self> {
        let mut command = program.command(env)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| program.cannot_start(error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr_pipe)) = pipes else {
            return Err(program.cannot_start(std::io::Error::other("no pipes")));
        };
        let stderr = Arc::<Mutex<Zeroizing<Vec<u8>>>>::default();
        let stderr_task = tokio::spawn(collect(stderr_pipe, stderr.clone()));
        Ok(Self {
            child,
            stdin: Some(stdin),
            stdout,
            stderr_task,
            stderr,
            // The capacity avoids reallocations, which would leave copies of secrets in memory.
            buffer: Zeroizing::new(Vec::with_capacity(64 * 1024)),
            bytes_read: 0,
            stdout_closed: false,
        })
    }

    /// Writes a line. Ignores errors, because reading the response then fails.
    pub(crate) async fn write(&mut self, line: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let written = stdin.write_all(line).await;
            if written.is_err() || stdin.flush().await.is_err() {
                self.stdin = None;
            }
        }
    }

    /// Reads the next line. This function is cancel safe. The error says what is wrong with the output.
    pub(crate) async fn line(&mut self) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = Zeroizing::new(self.buffer.split_off(end + 1));
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            if self.buffer.len() > MAX_LINE || self.bytes_read > MAX_OUTPUT {
                return Err("the plugin's output exceeds 1 MiB in a line or 4 MiB in total");
            }
            if self.stdout_closed {
                // The plugin's last line may have no line end.
                let line = std::mem::take(&mut self.buffer);
                let ended = "the plugin exited or closed stdout without a response";
                return if line.trim_ascii().is_empty() { Err(ended) } else { Ok(line) };
            }
            self.fill().await;
        }
    }

    /// Returns unread output of any length, or the next output. Returns `None` at the end, and after too much output.
    /// This function is cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        while self.buffer.is_empty() && !self.stdout_closed && self.bytes_read <= MAX_OUTPUT {
            self.fill().await;
        }
        (!self.buffer.is_empty()).then(|| std::mem::take(&mut self.buffer))
    }

    /// Whether the plugin sent output that the broker did not request.
    pub(crate) fn has_unread_output(&self) -> bool {
        !self.buffer.trim_ascii().is_empty()
    }

    async fn fill(&mut self) {
        let mut chunk = Zeroizing::new(vec![0; 16 * 1024]);
        let read = tokio::select! {
            biased;
            read = self.stdout.read(&mut chunk) => read,
            () = ended(&self.child) => {
                // A child process may keep the plugin's stdout open after the plugin's exit, so the read has a limit.
                let rest = self.stdout.read(&mut chunk);
                tokio::time::timeout(DRAIN_TIMEOUT, rest).await.unwrap_or(Ok(0))
            }
        };
        match read {
            Ok(0) | Err(_) => self.stdout_closed = true,
            Ok(count) => {
                self.bytes_read += count;
                self.buffer.extend_from_slice(&chunk[..count]);
            }
        }
    }

    /// Ends the plugin's process group. Returns the exit status (`None` if killed) and the lines of stderr.
    pub(crate) async fn end(mut self, shutdown: Shutdown) -> (Option<ExitStatus>, Vec<Zeroizing<String>>) {
        self.stdin = None;
        let timeout = match shutdown {
            Shutdown::Kill => None,
            Shutdown::Terminate => self.stdout_closed.then_some(DRAIN_TIMEOUT),
            Shutdown::Wait => Some(EXIT_TIMEOUT),
        };
        let exited = match timeout {
            Some(timeout) => tokio::time::timeout(timeout, ended(&self.child)).await.is_ok(),
            None => false,
        };
        if !exited && shutdown != Shutdown::Kill {
            signal(&mut self.child, Shutdown::Terminate);
            let _ = tokio::time::timeout(TERM_TIMEOUT, ended(&self.child)).await;
        }
        // The system does not reuse the process ID before `wait`, so the signal reaches only the plugin.
        signal(&mut self.child, Shutdown::Kill);
        let drain = if shutdown == Shutdown::Kill { KILL_DRAIN_TIMEOUT } else { DRAIN_TIMEOUT };
        let status = tokio::time::timeout(drain, self.child.wait()).await;
        let status = status.ok().and_then(std::io::Result::ok).filter(|_| exited);
        // A child process of the plugin may have left the process group, and may keep stderr open.
        if tokio::time::timeout(drain, &mut self.stderr_task).await.is_err() {
            self.stderr_task.abort();
        }
        (status, lines(&self.stderr.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `wait`, the child has no process ID, so the signal reaches no other process.
        signal(&mut self.child, Shutdown::Kill);
        self.stderr_task.abort();
    }
}

/// Returns the lines of stderr. Drops a truncated last line, because a part of a secret cannot be redacted.
fn lines(stderr: &[u8]) -> Vec<Zeroizing<String>> {
    let text = Zeroizing::new(String::from_utf8_lossy(stderr).into_owned());
    let mut lines: Vec<_> = text.lines().map(|line| Zeroizing::new(line.to_owned())).collect();
    if stderr.len() > MAX_STDERR {
        lines.pop();
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

async fn collect(mut pipe: ChildStderr, stderr: Arc<Mutex<Zeroizing<Vec<u8>>>>) {
    let mut chunk = Zeroizing::new(vec![0; 16 * 1024]);
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        let mut stderr = stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_STDERR + 1 - stderr.len();
        stderr.extend_from_slice(&chunk[..count.min(room)]);
    }
}

/// Waits until the process has exited. Does not reap the process, because the system could then reuse the process ID.
#[cfg(unix)]
async fn ended(child: &Child) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Some(id) = id
        && let Ok(None) = waitid(WaitId::Pid(id), options)
    {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Sends SIGKILL or SIGTERM to the process group of the plugin.
#[cfg(unix)]
fn signal(child: &mut Child, shutdown: Shutdown) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let signal = if shutdown == Shutdown::Kill { Signal::KILL } else { Signal::TERM };
    if let Some(id) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process_group(id, signal);
    }
}

#[cfg(not(unix))]
async fn ended(_child: &Child) {
    // On systems other than Unix, only the end of the output shows that the plugin has exited.
    std::future::pending().await
}

#[cfg(not(unix))]
fn signal(child: &mut Child, shutdown: Shutdown) {
    if shutdown == Shutdown::Kill {
        let _ = child.start_kill();
    }
}
