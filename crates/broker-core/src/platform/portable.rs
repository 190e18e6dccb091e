//! The implementation on `std` alone, for Windows. Files are private because of their folder.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::Env;

/// A version of a file: every write changes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version(u64, Option<SystemTime>, Option<SystemTime>);

impl Version {
    /// The version of the file or link at a path.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = path.symlink_metadata().ok()?;
        Some(Self(meta.len(), meta.modified().ok(), meta.created().ok()))
    }

    /// Whether an open file is still at its path; here, open files cannot be removed.
    pub(crate) fn is_at(_path: &Path, _file: &File) -> bool {
        true
    }
}

/// Opens a file for reading. Links are refused.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    refuse_link(path)?;
    File::open(path)
}

/// Opens a file for reading. Links are followed.
pub(super) fn open_followed(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

/// Opens or creates a lock file.
pub fn open_lock(path: &Path) -> std::io::Result<File> {
    refuse_link(path)?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn refuse_link(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_symlink() => Err(Error::new(ErrorKind::InvalidInput, Link)),
        _ => Ok(()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("symbolic links are not followed")]
struct Link;

/// Whether the path was a link, which is not followed.
pub(crate) fn is_link(error: &Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Link>())
}

/// Replaces the text of a lock file. Here only the lock's owner can read it.
pub(crate) fn note_in_lock(mut lock: &File, text: &str) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(text.as_bytes())
}

/// Whether another process removed the file.
pub(crate) fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// Whether the file system does not support locks.
pub(crate) fn has_no_locks(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

/// The owner of a lock is unknown here.
pub(crate) fn lock_holder(_lock: &File) -> Option<u32> {
    None
}

/// Whether this user owns the file; assumed in the user's profile.
#[must_use]
pub fn is_own(_meta: &Metadata) -> bool {
    true
}

/// Whether only this user has access; assumed in the user's profile.
pub(crate) fn is_private(_meta: &Metadata) -> bool {
    true
}

/// Whether other users have access; never in the user's profile.
#[must_use]
pub fn others_read(_meta: &Metadata) -> bool {
    false
}

/// Whether every user can write; never in the user's profile.
#[must_use]
pub fn everybody_writes(_meta: &Metadata) -> bool {
    false
}

/// Creates a folder and its parents.
pub fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Makes a file private; it already is.
pub(crate) fn make_private(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Creates a temporary file, private in the user's profile.
#[cfg(feature = "file")]
pub(super) fn temporary_file(
    builder: &mut tempfile::Builder<'_, '_>,
    folder: &Path,
) -> std::io::Result<tempfile::NamedTempFile> {
    builder.tempfile_in(folder)
}

/// Does nothing: folders cannot be synced here.
pub(crate) fn sync_folder(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let named = ["COMPUTERNAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_default()
}

/// Folders for runtime files of the user.
pub(crate) fn runtime_folders() -> [PathBuf; 2] {
    let folder = std::env::temp_dir().join("broker");
    [folder.clone(), folder]
}

pub(super) fn config_folder(env: &dyn Env) -> Option<PathBuf> {
    env.var("APPDATA").map(PathBuf::from).or_else(|| Some(env.home()?.join("AppData/Roaming")))
}

pub(super) fn state_folder(env: &dyn Env) -> Option<PathBuf> {
    env.var("LOCALAPPDATA").map(PathBuf::from).or_else(|| Some(env.home()?.join("AppData/Local")))
}

/// The device of a path is unknown here.
pub(crate) fn device(_path: &Path) -> String {
    String::new()
}

/// The type of the file system is unknown here.
pub(crate) fn magic(_path: &Path) -> Option<u64> {
    None
}
