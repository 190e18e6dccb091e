//! Files in which a service's own tools store a login.

use std::path::Path;

use zeroize::Zeroizing;

use crate::{Secret, Token};

/// The content of a login file.
#[derive(Debug, Clone, Default)]
pub struct FileLogin {
    /// The grant.
    pub refresh_token: Option<Secret>,
    /// The usual token.
    pub access_token: Option<Token>,
    /// The ID token (OpenID Connect Core section 2).
    pub id_token: Option<Secret>,
    /// The account's name, if the tokens contain it.
    pub account: Option<String>,
    /// Why the issuer cannot be verified. Such a login is used only if the record knows it.
    pub unproven: Option<String>,
    /// Whether another issuer, which this one replaces, issued it. A new login then quarantines it.
    pub of_another: bool,
}

impl FileLogin {
    pub(crate) fn is_empty(&self) -> bool {
        self.refresh_token.is_none() && self.access_token.is_none()
    }
}

/// Why a login file cannot be used.
#[derive(Debug, Clone)]
pub enum InvalidLoginFile {
    /// It is incomplete: another program may be writing it now.
    Torn,
    /// It is not a login file, or belongs to another service; the text follows the path in a message.
    Other(String),
}

/// A file in which a service's own tools store a login. The broker shares it with them, and stores the grant nowhere
/// else. The tools take no lock and may replace the file at any time; the last login in it counts.
pub trait LoginFile: Send + Sync {
    /// The file's path.
    fn path(&self) -> &Path;

    /// Parses the content.
    fn read(&self, bytes: &[u8]) -> Result<FileLogin, InvalidLoginFile>;

    /// Returns the new content, with everything else in `before` unchanged. Values that would break the tools are left
    /// out, and stay in the broker's record. `None` if that leaves no login.
    fn write(&self, login: &FileLogin, before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>>;

    /// Returns the content without the login; `None` if nothing is left.
    fn without_login(&self, before: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}
