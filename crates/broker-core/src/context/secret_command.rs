//! Runs commands that print a secret.

use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use zeroize::Zeroizing;

use crate::token::Secret;

/// The size of the output buffer: the longest secret plus one read of 4 KiB.
const MOST_PRINTED: usize = 64 * 1024 + 4096;

/// The time limit of a command that prints a secret. The command may ask the user for a passphrase.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);

/// How long remaining output is read after the command has ended.
const REST: Duration = Duration::from_millis(100);

pub(crate) async fn run(command: &[String], without: &[String]) -> Result<Secret> {
    let no_command = || Error::new(ErrorKind::InvalidInput, "no command is configured");
    let (program, arguments) = command.split_first().ok_or_else(no_command)?;
    // A relative path depends on the working folder, which another user may own.
    if program.contains('/') && !Path::new(program).is_absolute() {
        let why = "a relative path is not allowed: give the full path of the program, or its name in PATH";
        return Err(Error::new(ErrorKind::InvalidInput, why));
    }
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    for name in without {
        command.env_remove(name);
    }
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| Error::other("cannot open a pipe to the command"))?;
    let run = async {
        let (printed, status) = printed(&mut child, stdout).await?;
        if !status.success() {
            return Err(Error::other(status.to_string()));
        }
        Secret::from_bytes(&printed)
    };
    let too_slow = |_| Err(Error::new(ErrorKind::TimedOut, "the command did not end within 2 minutes"));
    tokio::time::timeout(COMMAND_TIMEOUT, run).await.unwrap_or_else(too_slow)
}

/// Reads the command's output until the command ends. Child processes of the command may keep the pipe open longer.
async fn printed(child: &mut Child, mut stdout: ChildStdout) -> Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
    // The buffer must not grow, because reallocation leaves copies of the secret in memory.
    let (mut printed, mut ended) = (Zeroizing::new(Vec::with_capacity(MOST_PRINTED)), false);
    let mut chunk = Zeroizing::new([0; 4096]);
    while printed.len() as u64 <= Secret::LONGEST {
        tokio::select! {
            read = stdout.read(&mut *chunk) => match read? {
                0 => break,
                read => printed.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            },
            status = child.wait(), if !ended => {
                status?;
                ended = true;
            }
            () = tokio::time::sleep(REST), if ended => break,
        }
    }
    drop(stdout);
    // If the loop above has already waited for the command, `wait` returns the same status again.
    Ok((printed, child.wait().await?))
}
