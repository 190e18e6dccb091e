//! Hints: what the user can do about an error. Each program phrases hints for its own commands.

use std::fmt;

use crate::token::sanitize;

/// What the user can do about an [`crate::error::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Log in to the provider.
    LogIn,
    /// Log in with a refresh token from another host.
    LogInWithRefreshToken,
    /// Log in again without opening a browser on this machine, because the user's browser is on another machine.
    LogInWithoutBrowser,
    /// Correct the password, then log in. Only a login or a forced request sends a refused password again.
    CorrectPassword,
    /// Remove the stored login without contacting the service.
    LogOutLocally,
    /// Make the same request again later.
    RetryLater,
    /// Make the same request again after the pause that the service asked for. The text says how long it is.
    AwaitPause(String),
    /// Remove this part from the request.
    LeaveOut(RequestPart),
    /// Correct the path of the configuration file.
    CorrectConfigPath,
    /// Choose another folder for the stored records.
    ChooseStateFolder,
    /// Set a secret, or import a downloaded secrets file. The text tells the user where to set the secret.
    SetOrImport(String),
    /// Set the password in the configuration, or pass it with the login. The text tells the user where to set it.
    SetPassword(String),
    /// Read the error output of the failed program.
    ReadProgramOutput,
    /// Request AWS credentials instead of a token.
    RequestAwsKeys,
    /// Convert the stored records to the configured storage format.
    MigrateRecords(String),
    /// Advice for the user as text, for example to change a setting.
    Text(String),
    /// Advice, and a command for the user to copy.
    Command(String, String),
}

impl Hint {
    /// Returns the hint with each text as one line that is safe for a terminal.
    pub(crate) fn sanitized(self) -> Self {
        match self {
            Self::AwaitPause(text) => Self::AwaitPause(sanitize(&text)),
            Self::SetOrImport(text) => Self::SetOrImport(sanitize(&text)),
            Self::SetPassword(text) => Self::SetPassword(sanitize(&text)),
            Self::MigrateRecords(text) => Self::MigrateRecords(sanitize(&text)),
            Self::Text(text) => Self::Text(sanitize(&text)),
            Self::Command(text, command) => Self::Command(sanitize(&text), sanitize(&command)),
            other => other,
        }
    }
}

/// A part of a token request that a provider may not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum RequestPart {
    Scope,
    Lifetime,
    Name,
    AwsRole,
    AwsKeys,
    Cookie,
    Password,
    RefreshToken,
    Introspection,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogIn => "log in to this provider",
            Self::LogInWithRefreshToken => "log in to this provider with a refresh token from another host",
            Self::LogInWithoutBrowser => "log in again; if the browser is on another machine, open the login page there, and after the login paste the URL in the browser's address bar at the prompt",
            Self::CorrectPassword => "correct the password, then log in again",
            Self::LogOutLocally => "log out locally, without revoking the login at the service",
            Self::RetryLater => "try again later",
            Self::AwaitPause(text) => return write!(f, "{text}: try again later"),
            Self::LeaveOut(part) => return write!(f, "leave out {part}"),
            Self::CorrectConfigPath => "correct the path of the configuration file",
            Self::ChooseStateFolder => "choose another folder for the stored records",
            Self::ReadProgramOutput => "look in the log for the error output of the failed program",
            Self::RequestAwsKeys => "request AWS credentials",
            Self::MigrateRecords(text) => {
                return write!(f, "{text}, then convert the stored records to the configured format");
            }
            Self::SetPassword(text) => return write!(f, "{text}, or pass the password with the login"),
            Self::SetOrImport(text) | Self::Text(text) => text,
            Self::Command(text, command) => return write!(f, "{text}\n  {command}"),
        })
    }
}

impl fmt::Display for RequestPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scope => "the scope",
            Self::Lifetime => "the lifetime",
            Self::Name => "the name",
            Self::AwsRole => "the role",
            Self::AwsKeys => "the AWS keys",
            Self::Cookie => "the cookie",
            Self::Password => "the password",
            Self::RefreshToken => "the refresh token",
            Self::Introspection => "the introspection",
        })
    }
}

impl<T: Into<String>> From<T> for Hint {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}
