//! A login that a service's own tools keep in a file of theirs.

use std::path::Path;

use zeroize::Zeroizing;

use crate::{Secret, Token};

/// What such a file holds.
#[derive(Debug, Clone, Default)]
pub struct FileLogin {
    /// The grant.
    pub refresh_token: Option<Secret>,
    /// The usual token.
    pub access_token: Option<Token>,
    /// The ID token (OpenID Connect Core section 2).
    pub id_token: Option<Secret>,
    /// Whose it is, if the tokens say.
    pub account: Option<String>,
    /// Why it cannot be told that the issuer gave it, if so: then it is used only if the record knows it.
    pub unproven: Option<String>,
    /// Whether another issuer gave it, for which this one stands in: then a login that takes its place keeps it aside.
    pub of_another: bool,
}

impl FileLogin {
    /// Whether there is no login in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.refresh_token.is_none() && self.access_token.is_none()
    }
}

/// Why a file is not used.
#[derive(Debug, Clone)]
pub enum InvalidLoginFile {
    /// It is not whole: somebody may be writing it now.
    Torn,
    /// It is something else, or somebody else's; in words after its path.
    Other(String),
}

/// A file in which a service's own tools keep a login. The broker shares it with them: it is the one place of that
/// grant. They take no lock and may replace it at any time; what they wrote last is the login.
pub trait LoginFile: Send + Sync {
    /// Where it is.
    fn path(&self) -> &Path;

    /// Reads it.
    fn read(&self, bytes: &[u8]) -> Result<FileLogin, InvalidLoginFile>;

    /// The file's new content. What else is in `before` stays. Whatever would make the tools break is left out, and
    /// stays in the broker's record alone; `None` if nothing of the login is left then.
    fn write(&self, login: &FileLogin, before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>>;

    /// What is left when the login is taken out, if anything.
    fn without_login(&self, before: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}
