//! Questions and messages to the user.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, ErrorCode, Result, Secret};

/// The data that a user needs to approve a device (RFC 8628 section 3.2).
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// The page to open.
    pub verification_uri: String,
    /// The page with the code in its URL, if the service sends one.
    pub verification_uri_complete: Option<String>,
    /// The code to enter.
    pub user_code: String,
    /// How long the code is valid.
    pub expires_in: Duration,
}

/// The user: answers questions during a login, and reads messages.
#[async_trait]
pub trait Prompt: Send + Sync {
    /// Asks for a line of text.
    async fn ask(&self, question: &str) -> Result<String>;
    /// Asks for a line of text without echo.
    async fn ask_hidden(&self, question: &str) -> Result<Secret>;
    /// Shows where to approve a login.
    fn show_code(&self, code: &DeviceCode);
    /// Shows the login page, and opens it if [`Prompt::browses`] (RFC 8252 section 4.1).
    fn show_page(&self, url: &str) {
        self.notify(&format!("log in here: {url}"));
    }
    /// Whether a browser on this machine opens pages, so that it can return to this process; otherwise the user is
    /// asked for the final address of the browser.
    fn browses(&self) -> bool {
        true
    }
    /// Reports about once a second that a code waits for approval.
    fn waiting(&self, left: Duration);
    /// Shows a message: a warning, or the reason for a wait.
    fn notify(&self, message: &str);
}

/// No user: questions fail, and messages go to the log.
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
        tracing::warn!(url = code.verification_uri, code = code.user_code, "a login waits for approval");
    }

    fn browses(&self) -> bool {
        false
    }

    fn waiting(&self, _left: Duration) {}

    fn notify(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

fn unanswered(question: &str) -> Error {
    Error::new(
        ErrorCode::PromptUnavailable,
        format!("cannot ask \"{question}\": this program runs without a user"),
    )
}
