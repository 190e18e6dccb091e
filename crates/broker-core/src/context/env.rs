//! Reads environment variables, and secrets from configured files and commands.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::context::platform;
use crate::token::Secret;

/// The process's environment variables, files and commands, for which tests use a replacement.
#[async_trait]
pub trait Env: Send + Sync {
    /// Returns the value of an environment variable; `None` if the variable is unset, empty or not UTF-8.
    fn var(&self, name: &str) -> Option<String>;

    /// Returns the names and values of the environment variables whose names begin with `prefix`.
    fn vars(&self, prefix: &str) -> Vec<(String, String)>;

    /// Returns the names of the variables whose names begin with `prefix`, in any case, and whose values are not UTF-8.
    fn not_utf8(&self, _prefix: &str) -> Vec<String> {
        Vec::new()
    }

    /// Fails if one of the variables of [`Env::not_utf8`] has a name for which `is_read` is true.
    fn check_utf8(&self, prefix: &str, is_read: &dyn Fn(&str) -> bool) -> Result<(), String> {
        match self.not_utf8(prefix).into_iter().find(|name| is_read(name)) {
            Some(name) => Err(format!("environment variable {name} is not UTF-8 text")),
            None => Ok(()),
        }
    }

    /// Returns the names of the environment variables that contain the broker's own secrets. Child processes
    /// do not get these variables.
    fn withheld(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the user's home folder.
    fn home(&self) -> Option<PathBuf>;

    /// Returns the file with the variables of this variable's service, if the user named such a file.
    fn file_of(&self, _name: &str) -> Option<&Path> {
        None
    }

    /// Describes a variable, for messages: `NAME (environment)`, or `NAME (PATH)` if a file sets it.
    fn describe(&self, name: &str) -> String {
        let file = self.file_of(name).map(|path| path.display().to_string());
        format!("{name} ({})", file.as_deref().unwrap_or("environment"))
    }

    /// Returns this machine's host name.
    fn host_name(&self) -> String;

    /// Reads a secret from a file, without byte order mark and trailing line ends. Follows symbolic links.
    fn read_secret(&self, path: &Path) -> std::io::Result<Secret>;

    /// Runs a command without the environment variables in `without`. Returns its output without trailing line ends.
    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret>;
}

/// The real environment of this process.
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
        // Configuration values are text: `not_utf8` returns the other variables.
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        std::env::vars_os().filter(begins).filter_map(text).collect()
    }

    fn not_utf8(&self, prefix: &str) -> Vec<String> {
        let begins =
            |name: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        let all = std::env::vars_os().filter(|(_, value)| value.to_str().is_none());
        all.filter_map(|(name, _)| name.into_string().ok()).filter(|name| begins(name)).collect()
    }

    fn home(&self) -> Option<PathBuf> {
        // A relative home folder would depend on the working folder.
        std::env::home_dir().filter(|home| home.is_absolute())
    }

    fn host_name(&self) -> String {
        platform::host_name()
    }

    fn read_secret(&self, path: &Path) -> std::io::Result<Secret> {
        let file = platform::open_followed(path)?;
        // The buffer must not grow, because reallocation leaves copies of the secret in memory.
        let size = file.metadata()?.len().min(Secret::LONGEST);
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1));
        file.take(Secret::LONGEST + 1).read_to_end(&mut bytes)?;
        Secret::from_bytes(&bytes)
    }

    async fn run_secret(&self, command: &[String], without: &[String]) -> std::io::Result<Secret> {
        #[cfg(feature = "command")]
        return crate::context::secret_command::run(command, without).await;
        #[cfg(not(feature = "command"))]
        {
            // The error does not name the command, because the command's arguments may contain secrets.
            let _ = (command, without);
            let why = "this program was built without the feature `command`";
            Err(std::io::Error::new(std::io::ErrorKind::Unsupported, why))
        }
    }
}
