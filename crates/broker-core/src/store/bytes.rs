//! The bytes of a file of the store, and what is said if reading or writing one fails.

use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::platform;
use crate::{Error, Result};

/// More than any record: a bigger file is something else.
pub(super) const LONGEST_RECORD: u64 = 16 * 1024 * 1024;

/// The same, sealed: base64 makes four bytes of three.
pub(super) const LONGEST_FILE: u64 = LONGEST_RECORD / 3 * 4 + 64 * 1024;

/// A file of the user's own, without following links; one byte more than the longest, if it is longer.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match platform::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", path, error)),
    };
    let meta = file.metadata().map_err(|error| cannot("read", path, error))?;
    if !meta.is_file() || !platform::is_own(&meta) {
        return Err(Error::failed(format!("{} is not a file of yours: it is not used", path.display()))
            .with_hint("move it away"));
    }
    // With room for all of it, it is read at once.
    let size = usize::try_from(meta.len().min(LONGEST_FILE)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| cannot("read", path, error))?;
    Ok(Some(bytes))
}

/// What is said of a file that could not be used.
pub(super) fn cannot(what: &str, path: &Path, error: std::io::Error) -> Error {
    let why = if platform::is_link(&error) {
        "it is a symbolic link, which is not followed".to_owned()
    } else {
        error.to_string()
    };
    Error::failed(format!("cannot {what} {}: {why}", path.display()))
        .with_hint("check the permissions of the state folder, or set BROKER_STATE_DIR to another folder")
        .with_source(error)
}
