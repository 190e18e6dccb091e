//! Private files that are replaced atomically and survive a crash.

use std::io::{ErrorKind, Result, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::{FileId, Folder, sync_folder, system};

/// Creates a private temporary file in `folder`.
pub fn temporary_file(folder: &Path, prefix: &str, suffix: &str) -> Result<NamedTempFile> {
    let file = tempfile::Builder::new().prefix(prefix).suffix(suffix).tempfile_in(folder)?;
    system::make_open_private(file.as_file())?;
    Ok(file)
}

/// Writes a private file, atomically and durably. Replaces a symbolic link at `path` instead of following the link.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary_file(folder_of(path), ".broker.", ".tmp")?;
    file.write_all(bytes)?;
    put_in_place(file, path)
}

/// Replaces the file at `path` with a temporary file from the same folder. The new file survives a crash.
pub fn put_in_place(file: NamedTempFile, path: &Path) -> Result<()> {
    // `Path::file_name` ignores a `/` at the end, which means a folder.
    let bytes = path.as_os_str().as_encoded_bytes();
    if path.file_name().is_some_and(|name| !bytes.ends_with(name.as_encoded_bytes())) {
        return Err(ErrorKind::NotADirectory.into());
    }
    file.as_file().sync_all()?;
    let id = FileId::of(file.as_file())?;
    replace_in(&Folder::open(folder_of(path))?, file, id, path)
}

/// Replaces the file at `path` in `folder` with a temporary file of that folder, which was synced. Fails if another
/// folder was put at the folder's path, such as a copy: the temporary file's name may then lead to another file.
pub(crate) fn replace_in(folder: &Folder, file: NamedTempFile, id: FileId, path: &Path) -> Result<()> {
    let (Some(from), Some(to)) = (file.path().file_name(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    if !folder.contains(from, id)? {
        return Err(ErrorKind::NotFound.into());
    }
    folder.check_at(folder_of(path))?;
    folder.persist(file, to)?;
    sync_folder(folder_of(path))?;
    folder.check_at(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
