//! Login files: files in which a service's own tools store a login.

use std::path::Path;

use zeroize::Zeroizing;

use crate::{Secret, Token};

/// The login that a login file contains.
#[derive(Debug, Clone, Default)]
pub struct FileLogin {
    /// The refresh token of the login.
    pub refresh_token: Option<Secret>,
    /// The login's access token, which answers token requests without scopes.
    pub access_token: Option<Token>,
    /// The ID token of the login (OpenID Connect Core section 2).
    pub id_token: Option<Secret>,
    /// The name of the account, if a token contains the name.
    pub account: Option<String>,
    /// Why the issuer of the login is unknown, or seems to be another one; `None` if the login file shows the configured
    /// issuer. The broker uses an unproven login only if the record contains the same login, or a token of the same
    /// issuer, client and audience.
    pub unproven: Option<String>,
    /// Whether the login is from another issuer than the configured one. A new login then renames the login file
    /// instead of overwriting it.
    pub of_another: bool,
}

impl FileLogin {
    pub(crate) fn is_empty(&self) -> bool {
        self.refresh_token.is_none() && self.access_token.is_none()
    }

    /// Whether both logins have the same tokens.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let tokens = |login: &Self| {
            let access = login.access_token.as_ref().map(|token| token.secret().clone());
            [login.refresh_token.clone(), access, login.id_token.clone()]
        };
        tokens(self).iter().zip(&tokens(other)).all(|pair| match pair {
            (Some(ours), Some(theirs)) => ours.same_as(theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        })
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
    fn read(&self, bytes: &[u8]) -> Result<FileLogin, InvalidLoginFile>;

    /// Returns the file's new content: `login`, and the other data of the old content `before`. Leaves out values that
    /// the service's own tools cannot read; the broker's record keeps them. Returns `None` if the file would contain no
    /// login.
    fn write(&self, login: &FileLogin, before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>>;

    /// Returns the file's content without the login; `None` if nothing else remains.
    fn without_login(&self, before: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}
