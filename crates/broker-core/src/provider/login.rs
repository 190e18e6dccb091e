//! How users log in and out, and the login files of the services' own tools.

use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Hint, RequestPart, Result};
use crate::record::FileLogin;
use crate::token::{Secret, TokenRequest};

/// How to log in: by the default method, a refresh token or a password.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Login {
    /// Logs in with the provider's default method, such as a browser.
    #[default]
    Usual,
    /// Logs in with a refresh token from a login on another host.
    RefreshToken(Secret),
    /// Logs in with this password instead of a prompt.
    Password(Secret),
}

/// A method of login that a provider supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginMethod {
    /// The user approves the login in a browser, or answers prompts.
    Interactive,
    /// The login uses a password that the caller passes.
    Password,
    /// The login uses a refresh token from another host or program.
    RefreshToken,
}

impl Login {
    /// Fails if this login is none of the provider's `methods`. Without any method, the default login only tests the
    /// configured secret.
    pub(crate) fn check(&self, methods: &[LoginMethod]) -> Result<()> {
        let (method, what, hint) = match self {
            Self::Usual if methods.is_empty() => return Ok(()),
            Self::Usual => (LoginMethod::Interactive, "without a refresh token", Hint::LogInWithRefreshToken),
            Self::RefreshToken(_) => {
                (LoginMethod::RefreshToken, "with a refresh token", Hint::LeaveOut(RequestPart::RefreshToken))
            }
            Self::Password(_) => {
                (LoginMethod::Password, "with a password", Hint::LeaveOut(RequestPart::Password))
            }
        };
        if methods.contains(&method) {
            return Ok(());
        }
        let message = format!("this provider does not support a login {what}");
        Err(Error::new(ErrorCode::LoginUnsupported, message).with_hint(hint))
    }
}

/// The result of [`crate::provider::Provider::revoke`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revoked {
    /// Whether the service has revoked at least one refresh token or access token.
    pub revoked: bool,
    /// A note for the user, such as which token to revoke by hand.
    pub note: Option<String>,
    /// The token that the revocation needs and the record lacks. The broker gets the token, then revokes again.
    pub needs: Option<TokenRequest>,
}

impl Revoked {
    /// Creates a result: whether the service has revoked a token, and a note for the user.
    #[must_use]
    pub fn new(revoked: bool, note: Option<String>) -> Self {
        Self { revoked, note, needs: None }
    }

    /// Adds the token that the revocation needs and the record lacks.
    #[must_use]
    pub fn needing(self, request: TokenRequest) -> Self {
        Self { needs: Some(request), ..self }
    }
}

/// Why the broker cannot use a login file.
#[derive(Debug, Clone)]
pub enum InvalidLoginFile {
    /// The login file is incomplete: another program may be writing the file now.
    Torn,
    /// The login file contains no login, or a login of another service. The text follows the path in an error message.
    Other(String),
}

/// A file in which a service's own tools store a login, which the broker shares. The file has the only copy
/// of the refresh token. The tools take no lock and may replace the login at any time; the broker then uses
/// the new login.
pub trait LoginFile: Send + Sync {
    /// Returns the login file's path.
    fn path(&self) -> &Path;

    /// Parses the login file's content.
    fn read(&self, bytes: &[u8]) -> std::result::Result<FileLogin, InvalidLoginFile>;

    /// Returns the file's new content: `login`, and the other data of the old content `before`. Leaves out values that
    /// the service's own tools cannot read; the broker's record keeps them. Returns `None` if the file would contain no
    /// login.
    fn write(&self, login: &FileLogin, before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>>;

    /// Returns the file's content without the login; `None` if nothing else remains.
    fn without_login(&self, before: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}
