//! The environment, injected: variables, files that are named, commands that are named.

use std::ffi::OsString;
use std::io::{Error as IoError, ErrorKind as IoErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use zeroize::Zeroizing;

use crate::{Secret, platform};

/// The longest secret a file or a command may give.
const LONGEST_SECRET: u64 = 64 * 1024;

/// The most that is taken of what a command prints: what is longer is no secret.
const MOST_PRINTED: usize = 64 * 1024 + 4096;

/// A command may ask a person for a passphrase, so it gets a while.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(2);

/// How long the rest of what a command has printed may take to arrive once it has ended.
const REST: Duration = Duration::from_millis(100);

/// What the broker sees of the process it runs in.
#[async_trait]
pub trait Env: Send + Sync {
    /// An environment variable that is set, is text, and is not empty.
    fn var(&self, name: &str) -> Option<String>;

    /// The environment variables whose names begin with this, as name and value.
    fn vars(&self, prefix: &str) -> Vec<(String, String)>;

    /// The names of the environment variables that hold the broker's own secrets: they are for this process alone, and no
    /// child gets them.
    fn withheld(&self) -> Vec<String> {
        Vec::new()
    }

    /// The person's home folder.
    fn home(&self) -> Option<PathBuf>;

    /// The file that a person named for this variable to be taken from, if one was: then it is what is meant.
    fn file_of(&self, _name: &str) -> Option<&Path> {
        None
    }

    /// What this machine is called.
    fn host_name(&self) -> String;

    /// A secret in a file, or in one that a link names: its text, without the line ends after it.
    fn read_secret(&self, path: &Path) -> std::io::Result<Secret>;

    /// A secret that a command prints: its text, without the line ends after it. The command does not get the
    /// environment variables `without`.
    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret>;
}

/// The process's own environment.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnv;

#[async_trait]
impl Env for SystemEnv {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn vars(&self, prefix: &str) -> Vec<(String, String)> {
        // What is not text names no key of ours.
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    fn home(&self) -> Option<PathBuf> {
        // A relative one would be the working folder's.
        std::env::home_dir().filter(|home| home.is_absolute())
    }

    fn host_name(&self) -> String {
        platform::host_name()
    }

    fn read_secret(&self, path: &Path) -> std::io::Result<Secret> {
        let file = platform::open_followed(path)?;
        // With room for all of it: a text that grows leaves copies.
        let size = file.metadata()?.len().min(LONGEST_SECRET);
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
        file.take(LONGEST_SECRET + 1).read_to_string(&mut text)?;
        secret_of(&text)
    }

    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| IoError::new(IoErrorKind::InvalidInput, "the command is empty"))?;
        // The working folder may be somebody else's.
        if program.contains('/') && !Path::new(program).is_absolute() {
            let why = "a program is named by its full path, or its name in PATH";
            return Err(IoError::new(IoErrorKind::InvalidInput, why));
        }
        let mut command = tokio::process::Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        for name in without {
            command.env_remove(name);
        }
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| IoError::other("no pipe to the command"))?;
        let run = async {
            let (printed, status) = printed(&mut child, stdout).await?;
            if !status.success() {
                return Err(IoError::other(status.to_string()));
            }
            let text = std::str::from_utf8(&printed);
            let text = text.map_err(|_| IoError::new(IoErrorKind::InvalidData, "it is no text"))?;
            secret_of(text)
        };
        tokio::time::timeout(COMMAND_TIMEOUT, run)
            .await
            .unwrap_or_else(|_| Err(IoError::new(IoErrorKind::TimedOut, "it did not end within 2 minutes")))
    }
}

/// What a command prints until it ends. What it leaves running may keep the pipe open, and is not waited for.
async fn printed(
    child: &mut Child,
    mut stdout: ChildStdout,
) -> std::io::Result<(Zeroizing<Vec<u8>>, ExitStatus)> {
    // With room for all of it: bytes that grow leave copies.
    let (mut printed, mut ended) = (Zeroizing::new(Vec::with_capacity(MOST_PRINTED)), None);
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

fn secret_of(text: &str) -> std::io::Result<Secret> {
    if text.len() as u64 > LONGEST_SECRET {
        return Err(IoError::new(IoErrorKind::InvalidData, "more than 64 KiB is no secret"));
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(IoError::new(IoErrorKind::InvalidData, "it is empty"));
    }
    Ok(Secret::new(text))
}
