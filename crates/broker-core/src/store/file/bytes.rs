//! Reads files of the store, and creates errors about files.

use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::context::platform;
use crate::error::{Error, ErrorCode, Result};

/// The size limit of an unencrypted record.
pub(crate) const LONGEST_RECORD: u64 = 16 * 1024 * 1024;

/// The size limit of a file. An encrypted record is in base64, which needs four bytes for three.
pub(crate) const LONGEST_FILE: u64 = LONGEST_RECORD / 3 * 4 + 64 * 1024;

/// Returns the names of the files in a folder, sorted. A missing folder has no files.
pub(crate) fn file_names(folder: &Path) -> Result<Vec<String>> {
    let names = || -> std::io::Result<Vec<_>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    };
    let names = match names() {
        Err(error) if is_absence(&error) => Vec::new(),
        names => names.map_err(|error| cannot_read(folder, error))?,
    };
    let mut names: Vec<_> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Returns the names of the files in a folder that end in `suffix`, without `suffix`.
pub(crate) fn file_stems(folder: &Path, suffix: &str) -> Result<Vec<String>> {
    let names = file_names(folder)?.into_iter();
    Ok(names.filter_map(|name| name.strip_suffix(suffix).map(str::to_owned)).collect())
}

/// Whether a file or folder does not exist. One that cannot be examined, such as after a disk error, may exist.
pub(crate) fn is_missing(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| is_absence(&error))
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory)
}

/// Reads a file that this user owns, without following symbolic links. Reads at most one byte more than
/// [`LONGEST_FILE`], which shows the caller that the file is too long.
pub(crate) fn read_bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match platform::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_read(path, error)),
    };
    let meta = file.metadata().map_err(|error| cannot_read(path, error))?;
    if !meta.is_file() || !platform::is_own(&meta) {
        let path = path.display();
        let message = format!("cannot read {path}: not a regular file, or another user owns the file");
        let error = Error::new(ErrorCode::StoreUnreadable, message);
        return Err(error.with_hint(format!("move {path} to another folder")));
    }
    // The buffer must not grow, because reallocation leaves copies of secrets in memory.
    let size = usize::try_from(meta.len().min(LONGEST_FILE)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| cannot_read(path, error))?;
    Ok(Some(bytes))
}

pub(crate) fn cannot_read(path: &Path, error: std::io::Error) -> Error {
    cannot(ErrorCode::StoreUnreadable, "read", path, error)
}

/// Returns the error for a file that cannot be changed, such as `cannot WHAT PATH: permission denied`.
pub(crate) fn cannot_write(what: &str, path: &Path, error: std::io::Error) -> Error {
    cannot(ErrorCode::StoreUnwritable, what, path, error)
}

/// Returns the error for a lock file that cannot be opened. The message names the folder if the folder is not writable.
pub(crate) fn cannot_open_lock(path: &Path, error: std::io::Error) -> Error {
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
