//! Prints errors on stderr, with hints that name the commands and flags of this command line, and chooses the exit code.

use std::io::Write;
use std::process::ExitCode;

use broker_core::sanitize;
use earthbroker::{Error, ErrorCode, ErrorKind, Hint, RequestPart};

use crate::gallery::Service;
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
    let source = std::error::Error::source(error).filter(|_| verbose > 0);
    for cause in std::iter::successors(source, |cause| cause.source()) {
        say(&format!("because: {cause}"));
    }
}

/// Returns the hint that is printed below an error.
pub(crate) fn hint(error: &Error) -> Option<String> {
    let provider = error.provider().unwrap_or("PROVIDER");
    if error.code() == ErrorCode::ProviderUnknown
        && let Some(service) = Service::find(provider)
    {
        return Some(format!("run: broker add {}", service.name));
    }
    Some(match error.hint()? {
        Hint::SetOrImport(text) => format!(
            "{text}; or use a downloaded secrets file: broker import FILE (once), or --env-file FILE (each time)"
        ),
        Hint::CorrectConfigPath => "correct the path after --config or in BROKER_CONFIG".to_owned(),
        Hint::ChooseStateFolder => "choose the state folder with --state-dir or BROKER_STATE_DIR".to_owned(),
        Hint::AwaitPause(text) => format!("{text}: `broker status` shows its end"),
        login @ (Hint::LogIn | Hint::LogInWithRefreshToken) => {
            format!("run: {}", login_command(login, provider))
        }
        Hint::LogInWithoutBrowser => format!(
            "run: broker login {provider}; with a browser on another machine: broker login {provider} --no-browser"
        ),
        Hint::CorrectPassword => format!("correct the password, then run: broker login {provider}"),
        Hint::LogOutLocally => format!(
            "to delete the login from this machine without revoking it at the service, run: broker logout {provider} --local"
        ),
        Hint::SetPassword(text) => format!("{text}, or add --password-stdin"),
        Hint::ReadProgramOutput => "add -v to see the error output of the failed program".to_owned(),
        Hint::RequestAwsKeys => "add --format aws".to_owned(),
        Hint::MigrateRecords(text) => format!("{text}, then run: broker store migrate"),
        Hint::LeaveOut(part) => leave_out(*part).to_owned(),
        other => other.to_string(),
    })
}

/// Returns the command that logs in to the provider.
pub(crate) fn login_command(login: &Hint, provider: &str) -> String {
    let flag = if *login == Hint::LogInWithRefreshToken { " --refresh-token-stdin" } else { "" };
    format!("broker login {provider}{flag}")
}

/// Returns the hint to leave out a command-line flag that the provider does not support.
fn leave_out(part: RequestPart) -> &'static str {
    match part {
        RequestPart::Scope => "leave out --scope",
        RequestPart::Lifetime => "leave out --expires; to require a remaining lifetime, use --min-ttl",
        RequestPart::Name => "leave out --name",
        RequestPart::AwsRole => "leave out --role",
        RequestPart::AwsKeys => "leave out --format aws and --role",
        RequestPart::Cookie => "leave out --format cookies",
        RequestPart::Password => "leave out --password-stdin",
        RequestPart::RefreshToken => "leave out --refresh-token-stdin",
        RequestPart::Introspection => "leave out --introspect",
        _ => "leave out the flag that this provider does not support",
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
