//! The error type: what failed, for which provider, and what the user can do.

mod code;
mod hint;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::token::sanitize;

pub use code::ErrorCode;
pub use hint::{Hint, RequestPart};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`]. Only [`ErrorKind::Unavailable`] is transient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is invalid for this provider, so the caller must change the request.
    Usage,
    /// The user has to log in.
    LoginRequired,
    /// The service, the network or another process prevents the request now. The same call may succeed later.
    Unavailable,
    /// The configuration is wrong.
    Configuration,
    /// The service refused the request (wrong secret, access denied), and would refuse the same call again.
    Refused,
    /// The caller stopped waiting: dropped the call or pressed Ctrl-C.
    Cancelled,
    /// Another failure on this machine, such as a failed write. A kind that only newer versions of the broker
    /// define is also read as `Failed`.
    #[serde(other)]
    Failed,
}

impl ErrorKind {
    /// Returns the general error code of this kind, for an error without a more specific code.
    pub fn general_code(self) -> ErrorCode {
        ErrorCode::ALL.iter().copied().find(|code| code.kind() == self).unwrap_or(ErrorCode::Internal)
    }
}

/// An error with a message for the user. The message must never contain a secret.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: ErrorCode,
    message: String,
    /// Where the lines below the message begin in `message`.
    lines_at: usize,
    provider: Option<String>,
    hint: Option<Hint>,
    retry_after: Option<Duration>,
    secret_fingerprint: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error from a code and a message that says what failed and why. The message becomes one line: see
    /// [`sanitize`].
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let message = sanitize(&message.into());
        Self(Box::new(Inner {
            code,
            lines_at: message.len(),
            message,
            provider: None,
            hint: None,
            retry_after: None,
            secret_fingerprint: None,
            source: None,
        }))
    }

    /// Creates an error with [`ErrorCode::UsageInvalid`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::UsageInvalid, message)
    }

    /// Creates an error with [`ErrorCode::LoginRequired`], to which the broker adds [`Hint::LogIn`].
    pub fn login_required(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::LoginRequired, message)
    }

    /// Creates an error with [`ErrorCode::ServiceUnavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ServiceUnavailable, message)
    }

    /// Creates an error with [`ErrorCode::ConfigInvalid`].
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ConfigInvalid, message)
    }

    /// Creates an error with [`ErrorCode::RequestRefused`].
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::RequestRefused, message)
    }

    /// Creates an error with [`ErrorCode::Internal`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// Adds a hint: what the user can do about the error.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<Hint>) -> Self {
        self.0.hint = Some(hint.into().sanitized());
        self
    }

    /// Adds lines below the message, such as an excerpt of a file. Each line begins with text of the caller, such as a
    /// margin.
    #[must_use]
    pub fn with_lines(mut self, lines: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        for line in lines {
            self.0.message.push('\n');
            self.0.message.push_str(&sanitize(line.as_ref()));
        }
        self
    }

    /// Adds the pause that the service asked for with `Retry-After`.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Adds the [`crate::token::fingerprint`] of a refused password, which the broker then does not send again.
    #[must_use]
    pub fn with_secret_fingerprint(mut self, fingerprint: String) -> Self {
        self.0.secret_fingerprint = Some(fingerprint);
        self
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// Adds the provider's name, unless the error has one already.
    #[must_use]
    pub fn for_provider(mut self, name: &str) -> Self {
        self.0.provider.get_or_insert_with(|| sanitize(name));
        self
    }

    /// Replaces the message, but not the lines below it.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        let message = sanitize(&message.into());
        let lines = self.0.message.split_off(self.0.lines_at);
        self.0.lines_at = message.len();
        self.0.message = message + &lines;
        self
    }

    /// Returns the error code, which programs compare.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// Returns the kind of the error: what the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.code.kind()
    }

    /// Returns what failed and why, without the provider's name. May have more lines: see [`Error::with_lines`].
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the message without the lines below it.
    pub fn first_line(&self) -> &str {
        &self.0.message[..self.0.lines_at]
    }

    /// Returns the provider's name, if the error concerns one provider.
    pub fn provider(&self) -> Option<&str> {
        self.0.provider.as_deref()
    }

    /// Returns what the user can do about the error.
    pub fn hint(&self) -> Option<&Hint> {
        self.0.hint.as_ref()
    }

    /// Returns the pause that the service asked for with `Retry-After`.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    pub(crate) fn secret_fingerprint(&self) -> Option<&str> {
        self.0.secret_fingerprint.as_deref()
    }

    /// Whether the same call may succeed later ([`ErrorKind::Unavailable`]).
    pub fn is_transient(&self) -> bool {
        self.kind() == ErrorKind::Unavailable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.provider {
            Some(provider) => write!(f, "{provider}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

/// Adds the code and the hint to the message: Rust prints the error that `main` returns in this form.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{}]", self.0.code.name())?;
        match &self.0.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // Callers downcast the inner error, not the `Arc` around it.
        self.0.source.as_deref().map(|source| source as _)
    }
}
