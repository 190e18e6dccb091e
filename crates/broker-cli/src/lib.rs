//! `broker`: words in, words out. What it does is in the crate `broker`; here is how it is asked and told.

mod args;
mod candidates;
mod commands;
mod format;
mod gallery;
mod harden;
mod hints;
mod humanize;
mod output;
mod report;
mod run;
mod terminal;

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

/// Runs the command line on this process's arguments, and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    harden::harden();
    if commands::completions::answered() {
        return ExitCode::SUCCESS;
    }
    let typed = std::env::args_os().collect::<Vec<_>>();
    if terminal::opened(&typed) {
        return ExitCode::SUCCESS;
    }
    let args = parse(words(typed));
    match commands::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => report::end(&end, args.global.verbose),
    }
}

/// What was typed; if it is wrong, or help was asked for, that is said and the process ends.
fn parse(words: Vec<OsString>) -> args::Args {
    // As `Parser::parse_from`, but that the grammar is not taken apart again: that would cost as much as to make it.
    let mut grammar = ManuallyDrop::new(args::Args::command());
    let read = grammar.try_get_matches_from_mut(words).and_then(|mut matches| {
        args::Args::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut grammar))
    });
    read.unwrap_or_else(|error| error.exit())
}

/// The names that programs look for their helper by.
const CALLING_NAMES: [(&str, &str); 3] = [
    ("git-credential-broker", "git"),
    ("docker-credential-broker", "docker"),
    ("cargo-credential-broker", "cargo"),
];

/// The command line, as it would be typed for what this program is called by.
fn words(typed: Vec<OsString>) -> Vec<OsString> {
    let name = typed.first().and_then(|called| Path::new(called).file_stem()).unwrap_or_default();
    let by_name = CALLING_NAMES.iter().find(|(calling, _)| name == *calling).map(|(_, program)| *program);
    // cargo gives no other words to a credential provider, whatever its configuration names.
    let by_word = typed.get(1).filter(|word| *word == "--cargo-plugin").map(|_| "cargo");
    match by_name.or(by_word) {
        None => typed,
        Some(program) => {
            let before = ["broker", "helper", program].map(OsString::from);
            before.into_iter().chain(typed.into_iter().skip(1)).collect()
        }
    }
}
