//! The program in the configuration key `command`: path, arguments and environment.

use std::path::{Path, PathBuf};

use broker_core::platform::expand;
use broker_core::{Env, Error, ErrorCode, Result, Secret, SettingsError, fingerprint, sanitize};
use tokio::process::Command;

pub(crate) struct Program {
    words: Vec<String>,
    /// Environment variables that the program must not inherit.
    without_variables: Vec<String>,
}

impl Program {
    /// Creates a program from the words of `command`. A relative path is an error, because the working directory may
    /// differ.
    pub(crate) fn new(words: Vec<String>, without_variables: Vec<String>) -> Result<Self, SettingsError> {
        let program = Self { words, without_variables };
        let path = program.first_word();
        if path.contains('/') && !path.starts_with('/') && !path.starts_with("~/") {
            return Err(SettingsError::expected(
                "command",
                "a program's full path, ~/PATH, or its name in PATH: the working folder is not searched",
            ));
        }
        Ok(program)
    }

    /// Returns the program's name with a fingerprint of all words of `command`, which may contain secrets.
    pub(crate) fn endpoint(&self) -> String {
        format!("{} {}", self.name(), fingerprint("command", &Secret::new(self.words.join("\0")), 64))
    }

    /// Returns the file name of the program or of its script, for messages. Other words of `command` may contain
    /// secrets.
    pub(crate) fn name(&self) -> String {
        let path = self.words.iter().take(2).rev().find(|word| word.starts_with(['/', '~']));
        let word = path.map_or_else(|| self.first_word(), String::as_str);
        let name = Path::new(word).file_name().map(|name| name.to_string_lossy().into_owned());
        sanitize(&name.unwrap_or_else(|| word.to_owned()))
    }

    fn first_word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Builds the command. The program runs in `/`, without environment variables of the broker's settings and secrets.
    pub(crate) fn command(&self, env: &dyn Env) -> Result<Command> {
        let mut command = Command::new(self.find(env)?);
        command.args(self.words.iter().skip(1).map(|word| expand(Path::new(word), env))).kill_on_drop(true);
        #[cfg(unix)]
        command.current_dir("/");
        let settings = env.vars("BROKER_PROVIDERS__").into_iter().map(|(name, _)| name);
        for name in settings.chain(env.withheld()).chain(self.without_variables.iter().cloned()) {
            command.env_remove(name);
        }
        Ok(command)
    }

    pub(crate) fn cannot_start(&self, error: std::io::Error) -> Error {
        let message = format!("cannot start program {}: {error}", sanitize(self.first_word()));
        Error::new(ErrorCode::ProgramNotFound, message)
            .with_hint(
                "install the program, make it executable (chmod +x), or correct `command` of this provider",
            )
            .with_source(error)
    }

    fn find(&self, env: &dyn Env) -> Result<PathBuf> {
        let program = self.first_word();
        if program.contains('/') {
            return Ok(expand(Path::new(program), env));
        }
        let Some(path) = env.var("PATH") else { return Ok(PathBuf::from(program)) };
        // Relative folders in `PATH` are skipped, because they depend on the working directory.
        let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        let mut files: Vec<_> =
            folders.map(|folder| folder.join(program)).filter(|path| path.is_file()).collect();
        // If no file is executable, the broker starts the first file, and the error of that start names the cause.
        let first = files.iter().position(|path| is_executable(path)).unwrap_or(0);
        (first < files.len()).then(|| files.swap_remove(first)).ok_or_else(|| {
            let message = format!("program {} is not in PATH", sanitize(program));
            Error::new(ErrorCode::ProgramNotFound, message)
                .with_hint("install the program, or write its full path as the first word of `command`")
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
