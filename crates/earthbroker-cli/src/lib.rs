//! The command line of `broker`: arguments, prompts, output and exit codes. The crate `broker` does all other work.

mod args;
mod commands;
mod format;
mod gallery;
mod harden;
mod humanize;
mod report;
mod run;
mod terminal;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

/// Runs the command line with the arguments of this process, and returns its exit code.
pub fn main() -> ExitCode {
    harden::harden();
    if commands::completions::complete() {
        return ExitCode::SUCCESS;
    }
    let typed = std::env::args_os().collect::<Vec<_>>();
    if terminal::open_page(&typed) {
        return ExitCode::SUCCESS;
    }
    let args = match parse(command_line(typed)) {
        Ok(args) => args,
        Err(code) => return code,
    };
    match commands::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => report::end(&end, args.global.verbose),
    }
}

/// Parses the command line. Prints help and usage errors, and returns their exit code.
fn parse(words: Vec<OsString>) -> Result<args::Args, ExitCode> {
    // `ManuallyDrop` saves time, because dropping clap's grammar takes as long as building the grammar.
    let mut grammar = ManuallyDrop::new(args::Args::command());
    let parsed = grammar.try_get_matches_from_mut(words).and_then(|mut matches| {
        args::Args::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut grammar))
    });
    parsed.map_err(|error| match commands::exec::missing_dashes(&error) {
        Some(error) => report::end(&error.into(), 0),
        None => usage_error(error),
    })
}

/// Prints clap's usage error and returns its exit code. If help was requested, prints the help and exits.
fn usage_error(mut error: clap::Error) -> ExitCode {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return print_help(&error);
    }
    // Clap's tip "to pass '-x' as a value, use '-- -x'" is wrong for nearly all commands.
    error.remove(ContextKind::Suggested);
    let typed = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(typed) => Some((kind, ContextValue::String(broker_core::sanitize(typed)))),
        _ => None,
    });
    for (kind, typed) in typed.collect::<Vec<_>>() {
        error.insert(kind, typed);
    }
    let text = error.render();
    let colours = terminal::colours(&std::io::stderr());
    let text = if colours { text.ansi().to_string() } else { text.to_string() };
    let code = format!("error[{}]:", earthbroker::ErrorCode::UsageInvalid.name());
    report::draw(text.replacen("error:", &code, 1).trim_end());
    ExitCode::from(2)
}

/// Prints the help that was requested or is needed, and exits.
fn print_help(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    match (humanize::displayable(&text, &std::io::stdout()), error.use_stderr()) {
        (Cow::Owned(ascii), false) => {
            // Like clap, ignores a closed stdout.
            let _ = std::io::stdout().lock().write_all(ascii.as_bytes());
            ExitCode::SUCCESS
        }
        _ => error.exit(),
    }
}

/// The programs that run this program as their credential helper, by a symbolic link `PROGRAM-credential-broker`.
const PROGRAMS: [&str; 3] = ["git", "docker", "cargo"];

/// Adds `helper PROGRAM` to the arguments if another program started this program as its credential helper.
fn command_line(typed: Vec<OsString>) -> Vec<OsString> {
    let name = typed.first().and_then(|path| Path::new(path).file_stem()).unwrap_or_default();
    let by_name = name.to_str().and_then(|name| name.strip_suffix("-credential-broker"));
    let by_name = by_name.filter(|program| PROGRAMS.contains(program));
    // Unless cargo's configuration sets other arguments, cargo runs its credential provider with only this flag.
    let by_flag = typed.get(1).filter(|word| *word == "--cargo-plugin").map(|_| "cargo");
    match by_name.or(by_flag) {
        None => typed,
        Some(program) => {
            let helper = ["broker", "helper", program].map(OsString::from);
            helper.into_iter().chain(typed.into_iter().skip(1)).collect()
        }
    }
}
