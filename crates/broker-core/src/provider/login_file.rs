//! Login files: files in which a service's own tools store a login.

use std::path::Path;

use zeroize::Zeroizing;

use crate::record::FileLogin;

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
