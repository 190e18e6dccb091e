//! What `std` alone can do, for systems that are no Unix: Windows. Files are private by where they are.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::Env;

/// Which version of a file: whatever writes to it makes another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version(u64, Option<SystemTime>, Option<SystemTime>);

impl Version {
    /// Of what is at a path, a link itself.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = path.symlink_metadata().ok()?;
        Some(Self(meta.len(), meta.modified().ok(), meta.created().ok()))
    }

    /// Whether an open file is the one at a path: an open one cannot be removed here.
    pub(crate) fn is_at(_path: &Path, _file: &File) -> bool {
        true
    }
}

/// Opens a file to read, never what a link names.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    refuse_link(path)?;
    File::open(path)
}

/// Opens a file to read, or what a link names.
pub(super) fn open_followed(path: &Path) -> std::io::Result<File> {
    File::open(path)
}

/// Opens a file to lock, or makes it.
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
#[error("it is a symbolic link")]
struct Link;

/// Whether it was a link that is not followed.
pub(crate) fn is_link(error: &Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Link>())
}

/// Replaces what is in a lock file. A locked file cannot be read by others here, so this is for its holder alone.
pub(crate) fn note_in_lock(mut lock: &File, text: &str) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(text.as_bytes())
}

/// Whether a file was removed by somebody else.
pub(crate) fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

/// Whether the file system has no locks.
pub(crate) fn has_no_locks(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

/// Nobody tells who has a lock.
pub(crate) fn lock_holder(_lock: &File) -> Option<u32> {
    None
}

/// Whether this user owns it: in their profile, yes.
#[must_use]
pub fn is_own(_meta: &Metadata) -> bool {
    true
}

/// Whether nobody else can look into it: in the user's profile, yes.
pub(crate) fn is_private(_meta: &Metadata) -> bool {
    true
}

/// Whether others than its owner may do anything with it: in the user's profile, no.
#[must_use]
pub fn others_read(_meta: &Metadata) -> bool {
    false
}

/// Whether everybody may replace what is in a folder: in the user's profile, no.
#[must_use]
pub fn everybody_writes(_meta: &Metadata) -> bool {
    false
}

/// Makes a folder, and those above it.
pub fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Takes a file away from others: it is the user's alone already.
pub(crate) fn make_private(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

/// A temporary file: in the user's profile it is theirs alone.
#[cfg(feature = "file")]
pub(super) fn temporary_file(
    builder: &mut tempfile::Builder<'_, '_>,
    folder: &Path,
) -> std::io::Result<tempfile::NamedTempFile> {
    builder.tempfile_in(folder)
}

/// Folders cannot be synced; a rename is as durable as it gets.
pub(crate) fn sync_folder(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}

/// What this machine is called.
pub(crate) fn host_name() -> String {
    let named = ["COMPUTERNAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_default()
}

/// Folders that processes of the user find.
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

/// No mountinfo names it.
pub(crate) fn device(_path: &Path) -> String {
    String::new()
}

/// What kind of file system it is cannot be told.
pub(crate) fn magic(_path: &Path) -> Option<u64> {
    None
}
