//! The subcommands of `broker`.

mod add;
pub(crate) mod completions;
mod config;
mod doctor;
pub(crate) mod exec;
mod helper;
mod import;
mod inspect;
mod login;
mod man;
mod new_provider;
mod status;
mod store;
mod token;
mod user_file;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use earthbroker::config::ConfigWarning;
use earthbroker::{Broker, Error, ErrorCode, Prompt, Secret, Setup};
use rustix::fs::{Access, access};
use serde::Serialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use zeroize::Zeroizing;

use crate::args::{Args, Command, GlobalArgs};
use crate::format::line;
use crate::report::{ExitError, LogLines};
use crate::terminal::Terminal;

/// The largest secret that standard input may contain, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

pub(crate) type CommandResult<T = ()> = std::result::Result<T, ExitError>;

/// The global arguments and the terminal, which all commands use.
struct CommandContext<'a> {
    global: &'a GlobalArgs,
    terminal: Arc<Terminal>,
}

pub(crate) fn run(args: &Args) -> CommandResult {
    let global = &args.global;
    log(global.verbose);
    let browser = !matches!(&args.command, Command::Login(login) if login.no_browser);
    let context = CommandContext { global, terminal: Arc::new(Terminal::new(global.quiet, browser)) };
    match &args.command {
        Command::Token(token) => token::run(&context, token),
        Command::Exec(exec) => exec::run(&context, exec),
        Command::Login(login) => login::run(&context, login),
        Command::Logout { provider, local } => login::log_out(&context, provider, *local),
        Command::Status { providers, json } => status::run(&context, providers, *json),
        Command::List { json } => config::list(&context, *json),
        Command::Inspect(inspect) => inspect::run(&context, inspect),
        Command::Doctor(doctor) => doctor::run(&context, doctor),
        Command::Import(import) => import::run(&context, import),
        Command::Add(add) => add::run(&context, add),
        Command::NewProvider { name, into } => new_provider::run(name, into),
        Command::Helper(helper) => helper::run(&context, helper),
        Command::Config(config) => config::run(&context, config),
        Command::Store(store) => store::run(&context, store),
        Command::Completions { shell, install } => completions::run(&context, *shell, *install),
        Command::Man { folder } => man::run(&context, folder),
    }
}

impl CommandContext<'_> {
    fn setup(&self) -> Setup {
        let setup = Setup::new().prompt(self.terminal.clone());
        let setup = self.global.config.iter().fold(setup, Setup::config_file);
        let setup = self.global.state_dir.iter().fold(setup, Setup::state_dir);
        self.global.env_file.iter().fold(setup, Setup::env_file)
    }

    /// Opens the broker for one provider, and prints the warnings about its configuration.
    fn broker(&self, provider: &str) -> CommandResult<Broker> {
        self.broker_of(self.setup(), &[provider])
    }

    fn broker_of(&self, setup: Setup, providers: &[impl AsRef<str>]) -> CommandResult<Broker> {
        let setup = setup.providers(providers.iter().map(AsRef::as_ref));
        let config = setup.config()?;
        for provider in providers {
            self.warn_of(config.warnings(provider.as_ref()));
        }
        let _ = self.terminal.withheld.set(config.withheld());
        self.warn_of(config.store_warning());
        Ok(setup.open_with(config)?)
    }

    /// Warns of secrets that other users can read. Of renamed keys, only `broker config check` warns.
    fn warn_of(&self, warnings: impl IntoIterator<Item = ConfigWarning>) {
        for warning in warnings.into_iter().filter(|it| it.readable.is_some()) {
            self.say(&format!("warning: {}: {}", warning.message, warning.fix));
        }
    }

    /// Prints a line on stderr, except with `--quiet`.
    fn say(&self, line: &str) {
        self.terminal.notify(line);
    }
}

/// Reads a secret from standard input, which must contain a single line. A token also loses blanks around it.
fn secret_from_stdin(flag: &str, is_token: bool) -> CommandResult<Secret> {
    let invalid = |why: &str| Error::usage(format!("{flag}: {why}"));
    let bytes = read_stdin()?;
    if bytes.len() as u64 > MAX_SECRET {
        return Err(invalid("standard input is too long for a secret").into());
    }
    let text = broker_core::utf8(&bytes).map_err(|error| invalid(&format!("standard input: {error}")))?;
    let secret = if is_token { Secret::cleaned_token(text) } else { Secret::cleaned(text) };
    secret.check_line().map_err(|why| invalid(&format!("standard input: {why}")))?;
    Ok(secret)
}

/// Reads standard input, which may contain a secret. Stops after one byte more than [`MAX_SECRET`].
fn read_stdin() -> earthbroker::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = std::io::stdin().lock().take(MAX_SECRET + 1).read_to_end(&mut bytes);
    read.map_err(|error| {
        Error::new(ErrorCode::ReadFailed, format!("cannot read standard input: {error}")).with_source(error)
    })?;
    Ok(bytes)
}

/// Separates values from errors. An error of one provider must not hide the other providers.
fn separate<T>(results: impl IntoIterator<Item = earthbroker::Result<T>>) -> (Vec<T>, Vec<Error>) {
    let mut errors = Vec::new();
    let values = results.into_iter().filter_map(|result| result.map_err(|error| errors.push(error)).ok());
    (values.collect(), errors)
}

/// Returns an exit error with all errors, or success if there are none.
fn end(errors: Vec<Error>) -> CommandResult {
    if errors.is_empty() { Ok(()) } else { Err(ExitError::Errors(errors)) }
}

/// Prints a command's result on stdout as one line of JSON.
fn answer_json(value: &impl Serialize) -> CommandResult {
    answer(&line(value)?)
}

/// Prints a command's result on stdout. The caller makes text from files and services safe for a terminal.
fn answer(text: &str) -> CommandResult {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Returns the absolute path in an environment variable. The XDG specification says to ignore relative paths.
fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Whether a path is a program that this user may run.
fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// Logs messages of this project's crates to stderr. Messages of other crates may contain secrets.
fn log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    // A log target is a prefix of crate names: `broker`, `broker_core` and so on.
    let ours = Targets::new().with_target("broker", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(|| LogLines).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(ours).init();
}
