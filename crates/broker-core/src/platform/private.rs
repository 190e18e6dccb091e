//! Files that nobody else can read, put in place whole and to stay.

use std::io::{Result, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::sync_folder;
use super::system;

/// A temporary file that nobody else can read, in `folder`.
pub fn temporary_file(folder: &Path, prefix: &str, suffix: &str) -> Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    system::temporary_file(builder.prefix(prefix).suffix(suffix), folder)
}

/// Puts bytes into a file that nobody else can read: when this returns all of them are there to stay; if it fails, the
/// file is what it was. A link at its place is replaced, not followed.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary_file(folder_of(path), ".broker.", ".tmp")?;
    file.write_all(bytes)?;
    put_in_place(file, path)
}

/// Puts a temporary file in the place of the one at `path`, in the same folder, to stay.
pub fn put_in_place(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder_of(path))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
