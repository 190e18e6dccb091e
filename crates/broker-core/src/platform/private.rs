//! Private files that are replaced atomically and survive a crash.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::Path;

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::{Folder, sync_folder, system};

/// Creates a private temporary file in `folder`.
pub fn temporary_file(folder: &Path, prefix: &str, suffix: &str) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    system::temporary_file(builder.prefix(prefix).suffix(suffix), folder)
}

/// Writes a private file, atomically and durably. Replaces a symbolic link at `path` instead of following the link.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = Folder::open(folder_of(path))?;
    let mut file = temporary_file(folder_of(path), ".broker.", ".tmp")?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    replace_in(&folder, file, path, bytes)
}

/// Renames a temporary file, which was synced and contains `bytes`, to `path`. Fails if other folders have taken the
/// place of `folder`, the folder of both files: the temporary file's name may then lead to another file.
pub(crate) fn replace_in(folder: &Folder, file: NamedTempFile, path: &Path, bytes: &[u8]) -> Result<()> {
    let (Some(from), Some(to)) = (file.path().file_name(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let mut written = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    folder.open_file(from)?.take(bytes.len() as u64 + 1).read_to_end(&mut written)?;
    if *written != bytes || !folder.is_at(folder_of(path)) {
        return Err(replaced());
    }
    folder.persist(file, to)?;
    sync_folder(folder_of(path))?;
    if folder.is_at(folder_of(path)) { Ok(()) } else { Err(replaced()) }
}

fn replaced() -> Error {
    Error::other("the folder was moved or replaced meanwhile")
}

/// Replaces the file at `path` with a temporary file from the same folder. The new file survives a crash.
pub fn put_in_place(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
