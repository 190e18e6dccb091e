//! A plugin's process: its pipes, its bounds, its end.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker_core::{Env, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::program::Program;

/// The longest line, and the most of a session.
const LONGEST_LINE: usize = 1 << 20;
const MOST_OUTPUT: usize = 4 << 20;

/// What is kept of stderr; what is beyond is read and forgotten, so that the plugin does not wait.
const MOST_STDERR: usize = 64 * 1024;

/// After the last answer a plugin has so long to end by itself, and then so long after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
const TERM_GRACE: Duration = Duration::from_millis(500);

/// What is in a pipe whose writer has ended comes at once.
const REST: Duration = Duration::from_millis(100);

/// The same where something waits to be saved.
const KILLED_REST: Duration = Duration::from_millis(20);

const LOOK: Duration = Duration::from_millis(5);

/// How a plugin that is through is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shutdown {
    /// At once: what it gave is not saved yet.
    Kill,
    /// Soon: it did not do as it should.
    Rest,
    /// It has time to end by itself.
    Grace,
}

/// Why a line did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broke {
    /// The process, or its output, has ended.
    Ended,
    /// A line of more than 1 MiB, or more than 4 MiB in all.
    TooMuch,
}

/// A running plugin, in a process group of its own: a Ctrl-C at the terminal is not for it, and what it starts ends
/// with it.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: JoinHandle<()>,
    said: Arc<Mutex<Said>>,
    buffer: Zeroizing<Vec<u8>>,
    read: usize,
    closed: bool,
    over: bool,
}

/// What came on stderr.
#[derive(Default)]
pub(crate) struct Said {
    bytes: Zeroizing<Vec<u8>>,
    cut: bool,
}

impl Process {
    pub(crate) fn start(program: &Program, env: &dyn Env) -> Result<Self> {
        let mut command = program.command(env)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| program.not_started(error))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(program.not_started(std::io::Error::other("no pipes to it")));
        };
        let said = Arc::<Mutex<Said>>::default();
        let stderr = tokio::spawn(collect(stderr, said.clone()));
        // Big enough not to be moved, which would leave copies of secrets.
        let buffer = Zeroizing::new(Vec::with_capacity(64 * 1024));
        let stdin = Some(stdin);
        Ok(Self { child, stdin, stdout, stderr, said, buffer, read: 0, closed: false, over: false })
    }

    /// Writes a line. That nobody reads it shows in what comes back.
    pub(crate) async fn write(&mut self, line: &[u8]) {
        if let Some(stdin) = &mut self.stdin {
            let written = stdin.write_all(line).await;
            if written.is_err() || stdin.flush().await.is_err() {
                self.stdin = None;
            }
        }
    }

    /// The next line. May be dropped and called again: nothing is lost.
    pub(crate) async fn line(&mut self) -> Result<Zeroizing<Vec<u8>>, Broke> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = Zeroizing::new(self.buffer.split_off(end + 1));
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            if self.buffer.len() > LONGEST_LINE || self.read > MOST_OUTPUT {
                return Err(Broke::TooMuch);
            }
            if self.closed {
                // The last line may lack its end.
                return match std::mem::take(&mut self.buffer) {
                    line if line.trim_ascii().is_empty() => Err(Broke::Ended),
                    line => Ok(line),
                };
            }
            self.fill().await;
        }
    }

    /// Whether something was said that nobody has asked for yet.
    pub(crate) fn has_said_more(&self) -> bool {
        !self.buffer.trim_ascii().is_empty()
    }

    async fn fill(&mut self) {
        let mut chunk = Zeroizing::new(vec![0; 16 * 1024]);
        let read = tokio::select! {
            biased;
            read = self.stdout.read(&mut chunk) => Some(read),
            () = ended(&self.child) => None,
        };
        // What it has started may hold the pipe open for ever.
        let read = match read {
            Some(read) => read,
            None => tokio::time::timeout(REST, self.stdout.read(&mut chunk)).await.unwrap_or(Ok(0)),
        };
        match read {
            Ok(0) | Err(_) => self.closed = true,
            Ok(count) => {
                self.read += count;
                self.buffer.extend_from_slice(&chunk[..count]);
            }
        }
    }

    /// Sees to its end, and that of all it has started. Gives how it ended by itself, if it did, and what it said on
    /// stderr.
    pub(crate) async fn end(mut self, pace: Shutdown) -> (Option<ExitStatus>, Said) {
        self.stdin = None;
        let grace = match pace {
            Shutdown::Kill => None,
            Shutdown::Rest => self.closed.then_some(REST),
            Shutdown::Grace => Some(GRACE),
        };
        let alone = match grace {
            Some(grace) => tokio::time::timeout(grace, ended(&self.child)).await.is_ok(),
            None => false,
        };
        if !alone && pace != Shutdown::Kill {
            signal(&mut self.child, End::Term);
            let _ = tokio::time::timeout(TERM_GRACE, ended(&self.child)).await;
        }
        // Before it is waited for: until then nobody else can have its number.
        signal(&mut self.child, End::Kill);
        self.over = true;
        let rest = if pace == Shutdown::Kill { KILLED_REST } else { REST };
        let status = tokio::time::timeout(rest, self.child.wait()).await;
        let status = status.ok().and_then(std::io::Result::ok).filter(|_| alone);
        // Who left the group may hold the pipe.
        if tokio::time::timeout(rest, &mut self.stderr).await.is_err() {
            self.stderr.abort();
        }
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        (status, said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.over {
            signal(&mut self.child, End::Kill);
            self.stderr.abort();
        }
    }
}

impl Said {
    /// Its lines; without the last if that was cut, since half a secret cannot be told from a word.
    pub(crate) fn lines(&self) -> Vec<Zeroizing<String>> {
        let text = Zeroizing::new(String::from_utf8_lossy(&self.bytes).into_owned());
        let mut lines: Vec<_> = text.lines().map(|line| Zeroizing::new(line.to_owned())).collect();
        if self.cut {
            lines.pop();
        }
        lines.retain(|line| !line.trim().is_empty());
        lines
    }
}

async fn collect(mut stderr: ChildStderr, said: Arc<Mutex<Said>>) {
    let mut chunk = Zeroizing::new(vec![0; 16 * 1024]);
    while let Ok(count @ 1..) = stderr.read(&mut chunk).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_STDERR - said.bytes.len();
        said.bytes.extend_from_slice(&chunk[..count.min(room)]);
        said.cut |= count > room;
    }
}

#[derive(Clone, Copy)]
enum End {
    Term,
    Kill,
}

/// Waits until the process has ended, and leaves it to be waited for, so that its number stays its own.
#[cfg(unix)]
async fn ended(child: &Child) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Some(id) = id
        && let Ok(None) = waitid(WaitId::Pid(id), options)
    {
        tokio::time::sleep(LOOK).await;
    }
}

/// Signals the whole group.
#[cfg(unix)]
fn signal(child: &mut Child, end: End) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let signal = match end {
        End::Term => Signal::TERM,
        End::Kill => Signal::KILL,
    };
    if let Some(id) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process_group(id, signal);
    }
}

#[cfg(not(unix))]
async fn ended(_child: &Child) {
    // Its output ends with it.
    std::future::pending().await
}

#[cfg(not(unix))]
fn signal(child: &mut Child, end: End) {
    if let End::Kill = end {
        let _ = child.start_kill();
    }
}
