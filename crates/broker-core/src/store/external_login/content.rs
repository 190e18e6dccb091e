//! Reads the login file of a service's own tools.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::context::Clock;
use crate::context::platform::Version;
use crate::error::{Error, Result};
use crate::provider::{InvalidLoginFile, LoginFile};
use crate::record::FileLogin;
use crate::store::file::bytes::{is_missing, read_bytes};
use crate::token::Secret;

/// How often an incomplete login file is read again. Some tools overwrite their login file in place.
const REREADS: usize = 20;
const REREAD_PAUSE: Duration = Duration::from_millis(10);

/// The parsed content of the login file.
pub(super) enum Found {
    /// The login file is missing, or contains no login.
    Nothing,
    /// The login file's folder is missing. It may be on an unmounted disk: the user has not logged out.
    NoFolder,
    /// The login file cannot be read, such as after a disk error. It may contain a login.
    Fault(Error),
    /// A login that the broker can use.
    Login(FileLogin),
    /// The content of another program's login file that the broker cannot use. `why` is the reason; `torn` means incomplete.
    Other { why: String, torn: bool },
}

/// The content of the login file at the time of a read or a write.
pub(super) struct FileContent {
    pub(super) found: Found,
    /// The file's bytes; `None` if the file did not exist or could not be read.
    pub(super) bytes: Option<Zeroizing<Vec<u8>>>,
    version: Option<Version>,
}

impl FileContent {
    pub(super) fn empty() -> Self {
        Self { found: Found::Nothing, bytes: None, version: None }
    }

    /// Returns the content that the broker has just written. It has no version, so that the next save reads the file.
    pub(super) fn written(login: FileLogin, bytes: Zeroizing<Vec<u8>>) -> Self {
        Self { found: Found::Login(login), bytes: Some(bytes), version: None }
    }

    pub(super) fn read(file: &dyn LoginFile) -> Self {
        let path = file.path();
        // Reads the file's size and times before its content, so that the next save detects a write in between.
        let version = Version::of(path);
        let bytes = read_bytes(path);
        let found = match &bytes {
            // Also if a file has the name of one of the folders.
            Ok(None) | Err(_) if path.parent().is_some_and(is_missing) => Found::NoFolder,
            Ok(None) => Found::Nothing,
            Ok(Some(bytes)) => match file.read(bytes) {
                Ok(login) if login.is_empty() => Found::Nothing,
                Ok(login) => Found::Login(login),
                Err(InvalidLoginFile::Torn) => {
                    Found::Other { why: "is incomplete, or not a login file".to_owned(), torn: true }
                }
                Err(InvalidLoginFile::Other(why)) => Found::Other { why, torn: false },
            },
            // The service's own tools do not make symbolic links, for example.
            Err(error) if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) => {
                Found::Other { why: format!("cannot be read: {}", error.message()), torn: false }
            }
            Err(error) => Found::Fault(unreadable(error.clone())),
        };
        Self { found, bytes: bytes.ok().flatten(), version }
    }

    /// Reads the file. Repeats the read for a short time if another program is writing the file.
    pub(super) async fn read_complete(file: &dyn LoginFile, clock: &dyn Clock) -> Self {
        let mut content = Self::read(file);
        for _ in 0..REREADS {
            if !matches!(content.found, Found::Other { torn: true, .. }) {
                break;
            }
            clock.sleep(REREAD_PAUSE).await;
            content = Self::read(file);
        }
        content
    }

    /// Whether another program may have changed the file since this process last read or wrote it.
    pub(super) fn is_outdated(&self, file: &dyn LoginFile) -> bool {
        let version = Version::of(file.path());
        version.is_none() || version != self.version
    }

    /// Fails if the login file could not be read.
    pub(super) fn check(&self) -> Result<()> {
        match &self.found {
            Found::Fault(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Returns the refresh token in the file.
    pub(super) fn grant(&self) -> Option<&Secret> {
        match &self.found {
            Found::Login(login) => login.refresh_token.as_ref(),
            Found::Nothing | Found::NoFolder | Found::Other { .. } | Found::Fault(_) => None,
        }
    }
}

pub(super) fn unreadable(error: Error) -> Error {
    error.with_hint("check the disk and the permissions of the file, then try again")
}
