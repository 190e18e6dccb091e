//! The environment, injected: variables, files that are named, commands that are named.

use std::ffi::OsString;
use std::io::Read;
#[cfg(not(feature = "command"))]
use std::io::{Error as IoError, ErrorKind as IoErrorKind};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::secret_text::{LONGEST_SECRET, secret_of};
use crate::{Secret, platform};

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
        let begins =
            |(name, _): &(OsString, OsString)| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        // What is not text names no key of ours.
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        std::env::vars_os().filter(begins).filter_map(text).collect()
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
        #[cfg(feature = "command")]
        return crate::secret_command::run(command, without).await;
        #[cfg(not(feature = "command"))]
        {
            // The command stays unsaid: people put secrets there.
            let _ = (command, without);
            Err(IoError::new(IoErrorKind::Unsupported, "this program is built without the feature `command`"))
        }
    }
}
