//! Reads files of the store, and creates errors about files.

use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::platform;
use crate::{Error, ErrorCode, Result};

/// The size limit of an unencrypted record.
pub(super) const LONGEST_RECORD: u64 = 16 * 1024 * 1024;

/// The size limit of a file: base64 needs four bytes for three bytes of an encrypted record.
pub(super) const LONGEST_FILE: u64 = LONGEST_RECORD / 3 * 4 + 64 * 1024;

/// Reads a file that this user owns, without following symbolic links. Of a too long file, returns one byte
/// more than [`LONGEST_FILE`].
pub(super) fn read_bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match platform::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_read(path, error)),
    };
    let meta = file.metadata().map_err(|error| cannot_read(path, error))?;
    if !meta.is_file() || !platform::is_own(&meta) {
        let message =
            format!("cannot read {}: not a regular file, or another user owns the file", path.display());
        return Err(
            Error::new(ErrorCode::StoreUnreadable, message).with_hint("move that file to another folder")
        );
    }
    // A file of the expected size needs no reallocation, which would leave copies of secrets in memory.
    let size = usize::try_from(meta.len().min(LONGEST_FILE)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(path, error))?;
    Ok(Some(bytes))
}

pub(super) fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    cannot(ErrorCode::StoreUnreadable, "read", path, error)
}

/// Returns the error for a failed change. `what` is a verb: `cannot WHAT PATH: permission denied`.
pub(super) fn cannot_write(what: &str, path: &Path, error: std::io::Error) -> Error {
    cannot(ErrorCode::StoreUnwritable, what, path, error)
}

/// Returns the error for a lock file that cannot be opened. If the folder is not writable, names the folder.
pub(super) fn cannot_open_lock(path: &Path, error: std::io::Error) -> Error {
    match path.parent().filter(|_| error.kind() == IoErrorKind::PermissionDenied && !path.exists()) {
        Some(folder) => cannot_write("write to the folder", folder, error),
        None => cannot_write("open the lock file", path, error),
    }
}

fn cannot(code: ErrorCode, what: &str, path: &Path, error: std::io::Error) -> Error {
    let why = match error.kind() {
        _ if platform::is_link(&error) => "symbolic links are not followed".to_owned(),
        IoErrorKind::PermissionDenied => "permission denied".to_owned(),
        IoErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        IoErrorKind::StorageFull => "no space left on the disk".to_owned(),
        _ => error.to_string(),
    };
    Error::new(code, format!("cannot {what} {}: {why}", path.display()))
        .with_hint("check the permissions of the state folder, or set BROKER_STATE_DIR to another folder")
        .with_source(error)
}
