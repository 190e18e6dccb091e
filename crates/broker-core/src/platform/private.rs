//! Private files that are replaced atomically and survive a crash.

use std::io::{Result, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::sync_folder;
use super::system;

/// Creates a private temporary file in `folder`.
pub fn temporary_file(folder: &Path, prefix: &str, suffix: &str) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    system::temporary_file(builder.prefix(prefix).suffix(suffix), folder)
}

/// Writes a private file, atomically and durably. Replaces a symbolic link at `path` instead of following the link.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary_file(folder_of(path), ".broker.", ".tmp")?;
    file.write_all(bytes)?;
    put_in_place(file, path)
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
