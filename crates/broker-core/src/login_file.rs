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
}

/// A file in which a service's own tools keep a login. The broker shares it with them: it is the one place of that
/// grant. They take no lock and may replace it at any time; what they wrote last is the login.
pub trait LoginFile: Send + Sync {
    /// Where it is.
    fn path(&self) -> &Path;

    /// Reads it. An error says in words why it is not used: it is torn, say, or of another issuer.
    fn read(&self, bytes: &[u8]) -> Result<FileLogin, String>;

    /// The file's new content. What else is in `before` stays. Whatever would make the tools break is left out, and
    /// stays in the broker's record alone; `None` if nothing of the login is left then.
    fn write(&self, login: &FileLogin, before: Option<&[u8]>) -> Option<Zeroizing<Vec<u8>>>;

    /// What is left when the login is taken out, if anything.
    fn without_login(&self, before: &[u8]) -> Option<Zeroizing<Vec<u8>>>;
}
