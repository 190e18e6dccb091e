//! `broker`: words in, words out. What it does is in the crate `broker`; here is how it is asked and told.

mod args;
mod commands;
mod format;
mod output;
mod report;
mod run;
mod terminal;
mod words;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match commands::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => report::end(&end, args.everywhere.verbose),
    }
}
