//! A command that prints a secret.

use std::io::{Error, ErrorKind, Result};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use zeroize::Zeroizing;

use crate::Secret;
use crate::env::{LONGEST_SECRET, secret_of};

/// A command may ask a person for a passphrase, so it gets a while.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);

/// How long the rest of what a command has printed may take to arrive once it has ended.
const REST: Duration = Duration::from_millis(100);

/// Runs it, and takes what it prints.
pub(crate) async fn run(command: &[String]) -> Result<Secret> {
    let (program, arguments) =
        command.split_first().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the command is empty"))?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| Error::other("no pipe to the command"))?;
    let run = async {
        let (printed, status) = printed(&mut child, stdout).await?;
        if !status.success() {
            return Err(Error::other(status.to_string()));
        }
        let text = String::from_utf8(printed.to_vec());
        let text = text.map_err(|_| Error::new(ErrorKind::InvalidData, "it is no text"))?;
        secret_of(text, printed.len() as u64)
    };
    tokio::time::timeout(COMMAND_TIMEOUT, run)
        .await
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, "it did not end within 2 minutes")))
}

/// What a command prints until it ends. What it leaves running may keep the pipe open, and is not waited for.
async fn printed(child: &mut Child, mut stdout: ChildStdout) -> Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
    let (mut printed, mut ended) = (Zeroizing::new(Vec::new()), None);
    let mut chunk = Zeroizing::new([0; 4096]);
    while printed.len() as u64 <= LONGEST_SECRET {
        tokio::select! {
            read = stdout.read(&mut *chunk) => match read? {
                0 => break,
                read => printed.extend_from_slice(chunk.get(..read).unwrap_or_default()),
            },
            status = child.wait(), if ended.is_none() => ended = Some(status?),
            () = tokio::time::sleep(REST), if ended.is_some() => break,
        }
    }
    drop(stdout);
    let status = match ended {
        Some(status) => status,
        None => child.wait().await?,
    };
    Ok((printed, status))
}
