//! What goes to people: stderr, and the exit code.

use std::io::Write;
use std::process::ExitCode;

use broker::{Error, ErrorKind};

use crate::hints::hint;

/// How a command ends when it does not end well.
#[derive(Debug)]
pub(crate) enum ExitError {
    /// With errors; the first tells the exit code.
    Errors(Vec<Error>),
    /// By a signal.
    Signal(u8),
    /// With the exit code of a command that was run, or an error that has one of its own.
    Code(u8, Option<Error>),
    /// Nobody reads what is printed any more.
    NobodyReads,
}

impl From<Error> for ExitError {
    fn from(error: Error) -> Self {
        Self::Errors(vec![error])
    }
}

impl From<std::io::Error> for ExitError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::NobodyReads;
        }
        Error::failed(format!("cannot print: {error}")).with_source(error).into()
    }
}

/// Says how it ended, and gives the exit code.
pub(crate) fn end(end: &ExitError, verbose: u8) -> ExitCode {
    match end {
        ExitError::Errors(errors) => {
            for error in errors {
                say_error(error, verbose);
            }
            errors.first().map_or(ExitCode::FAILURE, |error| ExitCode::from(code(error.kind())))
        }
        ExitError::Signal(number) => ExitCode::from(128 + number),
        ExitError::Code(code, error) => {
            if let Some(error) = error {
                say_error(error, verbose);
            }
            ExitCode::from(*code)
        }
        // As a program that the signal ends.
        ExitError::NobodyReads => ExitCode::from(128 + 13),
    }
}

/// The exit codes of the command line's contract.
fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::LoginRequired => 3,
        ErrorKind::Unavailable => 4,
        ErrorKind::Configuration => 5,
        ErrorKind::Refused => 6,
        // As a program that Ctrl-C ends.
        ErrorKind::Cancelled => 130,
        _ => 1,
    }
}

fn say_error(error: &Error, verbose: u8) {
    say(&format!("error[{}]: {error}", error.code().name()));
    if let Some(hint) = hint(error) {
        say(&format!("hint: {hint}"));
    }
    let mut source = std::error::Error::source(error).filter(|_| verbose > 0);
    while let Some(beneath) = source {
        say(&format!("because: {beneath}"));
        source = beneath.source();
    }
}

/// Says a line on stderr. If nobody listens there, nothing is lost.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
