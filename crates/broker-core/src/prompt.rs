//! The person who may sit there.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Error, Result, Secret};

/// What a person needs to approve a device (RFC 8628 section 3.2).
#[derive(Debug, Clone)]
pub struct DeviceCode {
    /// Where to go.
    pub verification_uri: String,
    /// The same with the code in it, if the service gave one.
    pub verification_uri_complete: Option<String>,
    /// What to type there.
    pub user_code: String,
    /// How long the code can be used.
    pub expires_in: Duration,
}

/// How the broker speaks with a person: questions during a login, and word of what goes on.
#[async_trait]
pub trait Prompt: Send + Sync {
    /// Asks for a line of text.
    async fn ask(&self, question: &str) -> Result<String>;
    /// Asks for a line of text that is not shown.
    async fn ask_hidden(&self, question: &str) -> Result<Secret>;
    /// Shows where to approve a login.
    fn show_code(&self, code: &DeviceCode);
    /// Shows the page where to log in, and opens it where [`Prompt::browses`] (RFC 8252 section 4.1).
    fn show_page(&self, url: &str) {
        self.notify(&format!("log in here: {url}"));
    }
    /// Whether a page is opened by a browser on this very machine, so that it can lead back to it; else the person
    /// is asked for the address that the browser ends at.
    fn browses(&self) -> bool {
        true
    }
    /// Called about once a second while a code waits for its approval.
    fn waiting(&self, left: Duration);
    /// Says something worth knowing: a warning, what is being waited for.
    fn notify(&self, message: &str);
}

/// Nobody sits there: questions are errors, words go to the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct NonInteractive;

#[async_trait]
impl Prompt for NonInteractive {
    async fn ask(&self, question: &str) -> Result<String> {
        Err(Error::login_required(format!("nobody is here to answer \"{question}\"")))
    }

    async fn ask_hidden(&self, question: &str) -> Result<Secret> {
        Err(Error::login_required(format!("nobody is here to answer \"{question}\"")))
    }

    fn show_code(&self, code: &DeviceCode) {
        tracing::warn!(url = code.verification_uri, code = code.user_code, "a login waits for its approval");
    }

    fn browses(&self) -> bool {
        false
    }

    fn waiting(&self, _left: Duration) {}

    fn notify(&self, message: &str) {
        tracing::warn!("{message}");
    }
}
