//! The program that a configuration names: where it is, and what it is started with.

use std::path::{Path, PathBuf};

use broker_core::{Env, Error, Result, Secret, SettingsError, fingerprint, platform};
use tokio::process::Command;

/// A program and its words.
#[derive(Debug)]
pub(crate) struct Program {
    words: Vec<String>,
    /// The environment variables that it does not get.
    without: Vec<String>,
}

impl Program {
    /// The working directory is nobody's: a path that begins there is refused.
    pub(crate) fn new(words: Vec<String>) -> Result<Self, SettingsError> {
        let path = words.first().map(String::as_str).unwrap_or_default();
        if path.contains('/') && !path.starts_with('/') && !path.starts_with("~/") {
            return Err(SettingsError::new(
                "command",
                "a program is named by its full path, ~/PATH, or its name in PATH: where the broker is \
                          called from changes nothing",
            ));
        }
        Ok(Self { words, without: Vec::new() })
    }

    /// It does not get these environment variables.
    pub(crate) fn without(self, without: Vec<String>) -> Self {
        Self { without, ..self }
    }

    /// What tells it from others in a record: its name, and a mark of all words. People put secrets into words.
    pub(crate) fn endpoint(&self) -> String {
        format!("{} {}", self.name(), fingerprint("command", &Secret::new(self.words.join("\0")), 64))
    }

    /// What people call it: the program, or the script that it runs. No other word: people put secrets there.
    pub(crate) fn name(&self) -> String {
        let path = self.words.iter().take(2).rev().find(|word| word.starts_with(['/', '~']));
        let word = path.or(self.words.first()).map(String::as_str).unwrap_or_default();
        let name = Path::new(word).file_name().map(|name| name.to_string_lossy().into_owned());
        broker_core::sanitize(&name.unwrap_or_else(|| word.to_owned()))
    }

    /// The command that starts it: in the root folder, with the environment that the broker has but for the
    /// broker's own settings and secrets, and the secrets that it gets by its pipe.
    pub(crate) fn command(&self, env: &dyn Env) -> Result<Command> {
        let path = self.find(env)?;
        let mut command = Command::new(path);
        command.args(self.words.iter().skip(1).map(|word| in_home(word, env))).kill_on_drop(true);
        #[cfg(unix)]
        command.current_dir("/");
        let settings = env.vars("BROKER_PROVIDERS__").into_iter().map(|(name, _)| name);
        for name in settings.chain(env.withheld()).chain(self.without.iter().cloned()) {
            command.env_remove(name);
        }
        Ok(command)
    }

    /// Why it did not start.
    pub(crate) fn not_started(&self, error: std::io::Error) -> Error {
        let program = self.words.first().map(String::as_str).unwrap_or_default();
        let program = broker_core::sanitize(program);
        Error::configuration(format!("the program {program} cannot be started: {error}"))
            .with_hint("is it installed, and executable (chmod +x)? `command` of this provider names it")
            .with_source(error)
    }

    fn find(&self, env: &dyn Env) -> Result<PathBuf> {
        let word = self.words.first().map(String::as_str).unwrap_or_default();
        if word.contains('/') {
            return Ok(in_home(word, env));
        }
        let Some(folders) = env.var("PATH") else { return Ok(PathBuf::from(word)) };
        // Not those that begin where the broker is called from.
        let folders = std::env::split_paths(&folders).filter(|folder| folder.is_absolute());
        let mut there: Vec<_> =
            folders.map(|folder| folder.join(word)).filter(|path| path.is_file()).collect();
        // One that cannot run is named only where no other can.
        let first = there.iter().position(|path| is_executable(path)).unwrap_or(0);
        (first < there.len()).then(|| there.swap_remove(first)).ok_or_else(|| {
            Error::configuration(format!("there is no program {} in PATH", broker_core::sanitize(word)))
                .with_hint(
                    "install it, or name its full path as the first word of `command` of this provider",
                )
        })
    }
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_executable(_path: &Path) -> bool {
    true
}

fn in_home(word: &str, env: &dyn Env) -> PathBuf {
    platform::expand(Path::new(word), env)
}
