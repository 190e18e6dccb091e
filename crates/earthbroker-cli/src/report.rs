//! Prints errors on stderr, and chooses the exit code.

use std::io::Write;
use std::process::ExitCode;

use broker_core::sanitize;
use earthbroker::{Error, ErrorCode, ErrorKind};

use crate::hints::hint;
use crate::humanize;

/// The reason why a command failed, which decides the exit code.
#[derive(Debug)]
pub(crate) enum ExitError {
    /// Errors to print. The first error decides the exit code.
    Errors(Vec<Error>),
    /// A signal stopped the command.
    Signal(i32),
    /// A fixed exit code, such as that of a child process.
    Code(u8, Option<Error>),
}

impl From<Error> for ExitError {
    fn from(error: Error) -> Self {
        Self::Errors(vec![error])
    }
}

impl From<std::io::Error> for ExitError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            // The reader of the output closed the pipe. Most programs then end by SIGPIPE, signal 13.
            return Self::Signal(13);
        }
        Error::new(ErrorCode::WriteFailed, format!("cannot write to standard output: {error}"))
            .with_source(error)
            .into()
    }
}

/// Prints the errors and returns the exit code.
pub(crate) fn end(end: &ExitError, verbose: u8) -> ExitCode {
    let (errors, code) = match end {
        ExitError::Errors(errors) => (&errors[..], errors.first().map_or(1, |error| code(error.kind()))),
        ExitError::Signal(number) => (&[][..], u8::try_from(128 + number).unwrap_or(u8::MAX)),
        ExitError::Code(code, error) => (error.as_slice(), *code),
    };
    for error in errors {
        print_error(error, verbose);
    }
    ExitCode::from(code)
}

/// Returns the documented exit code of an error.
fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::LoginRequired => 3,
        ErrorKind::Unavailable => 4,
        ErrorKind::Configuration => 5,
        ErrorKind::Refused => 6,
        // SIGINT is signal 2: 128 + 2.
        ErrorKind::Cancelled => 130,
        _ => 1,
    }
}

fn print_error(error: &Error, verbose: u8) {
    print_wrapped(&format!("error[{}]: {error}", error.code().name()));
    if let Some(hint) = hint(error) {
        print_wrapped(&format!("hint: {hint}"));
    }
    let mut source = std::error::Error::source(error).filter(|_| verbose > 0);
    while let Some(cause) = source {
        say(&format!("because: {cause}"));
        source = cause.source();
    }
}

/// Prints text on stderr. On a terminal, wraps the first line; other lines may be commands to copy.
fn print_wrapped(text: &str) {
    draw(&humanize::wrap(text, humanize::terminal_width(&std::io::stderr()), 2));
}

/// Prints text as one line on stderr, without control characters.
pub(crate) fn say(line: &str) {
    draw(&sanitize(line));
}

/// Prints lines on stderr that the caller made safe for a terminal. Failures are ignored, because there is no other
/// stream to report them.
pub(crate) fn draw(lines: &str) {
    let stderr = std::io::stderr();
    let lines = humanize::displayable(lines, &stderr);
    let _ = writeln!(stderr.lock(), "{lines}");
}

/// Writes each log message as one line, without control characters.
pub(crate) struct LogLines;

impl Write for LogLines {
    fn write(&mut self, message: &[u8]) -> std::io::Result<usize> {
        say(String::from_utf8_lossy(message).trim_end());
        Ok(message.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
