//! Asks the user questions, and shows messages to the user.

use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, ErrorCode, Result};
use crate::token::{Secret, sanitize};

/// The data that a user needs to approve a device (RFC 8628 section 3.2).
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// The web page on which the user enters the code.
    pub verification_uri: String,
    /// The web page with the code in its URL, if the service sends such a URL.
    pub verification_uri_complete: Option<String>,
    /// The code that the user enters on the web page.
    pub user_code: String,
    /// How long the user code is valid.
    pub expires_in: Duration,
}

/// The interface to the user, for questions during a login and for messages.
///
/// ```
/// use std::time::Duration;
/// use broker_core::{DeviceCode, Error, Prompt, Result, Secret};
///
/// /// A prompt for logins with a code: it asks no questions.
/// struct Terminal;
///
/// #[async_trait::async_trait]
/// impl Prompt for Terminal {
///     async fn ask(&self, question: &str) -> Result<String> {
///         Err(Error::usage(format!("cannot ask: {question}")))
///     }
///     async fn ask_hidden(&self, question: &str) -> Result<Secret> {
///         self.ask(question).await.map(Secret::new)
///     }
///     fn show_code(&self, code: &DeviceCode) {
///         eprintln!("open {} and enter the code {}", code.verification_uri, code.user_code);
///     }
///     fn waiting(&self, _left: Duration) {}
///     fn notify(&self, message: &str) {
///         eprintln!("{message}");
///     }
/// }
/// ```
#[async_trait]
pub trait Prompt: Send + Sync {
    /// Asks the user a question, and returns the answer: one line of text.
    async fn ask(&self, question: &str) -> Result<String>;
    /// Asks the user for a password or other secret, and does not echo the typed text.
    async fn ask_hidden(&self, question: &str) -> Result<Secret>;
    /// Shows the web page and the code of a device login.
    fn show_code(&self, code: &DeviceCode);
    /// Shows the URL of the login page. Opens a browser if [`Prompt::browses`] is true (RFC 8252 section 4.1).
    fn show_page(&self, url: &str) {
        self.notify(&format!("open this page to log in: {url}"));
    }
    /// Whether a browser on this machine can be opened and redirected to this process. Otherwise the user pastes the
    /// URL that the browser was redirected to.
    fn browses(&self) -> bool {
        true
    }
    /// Shows how long the device code remains valid. The broker calls this method about once a second.
    fn waiting(&self, left: Duration);
    /// Shows a message to the user, such as a warning or the reason for a wait.
    fn notify(&self, message: &str);
}

/// A prompt for programs that run without a user. Questions fail. Messages go to the log (the crate `tracing`), also the
/// page and the code of a device login, which then waits for the user's approval until the code expires.
#[derive(Debug, Clone, Copy, Default)]
pub struct NonInteractive;

#[async_trait]
impl Prompt for NonInteractive {
    async fn ask(&self, question: &str) -> Result<String> {
        Err(unanswered(question))
    }

    async fn ask_hidden(&self, question: &str) -> Result<Secret> {
        Err(unanswered(question))
    }

    fn show_code(&self, code: &DeviceCode) {
        let [url, code] = [&code.verification_uri, &code.user_code].map(|text| sanitize(text));
        tracing::warn!(url, code, "log in at the URL with the code");
    }

    fn browses(&self) -> bool {
        false
    }

    fn waiting(&self, _left: Duration) {}

    fn notify(&self, message: &str) {
        tracing::warn!("{}", sanitize(message));
    }
}

fn unanswered(question: &str) -> Error {
    Error::new(
        ErrorCode::PromptUnavailable,
        format!("cannot ask \"{question}\": this program runs without a user"),
    )
}
