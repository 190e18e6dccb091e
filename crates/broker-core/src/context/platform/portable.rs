//! File permissions, locks and folders on Windows, with `std` alone. Files are private because they are in the
//! user's home folder.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::context::Env;

/// The size and times of a file. At least one of these values changes with every write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version(u64, Option<SystemTime>, Option<SystemTime>);

impl Version {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = path.symlink_metadata().ok()?;
        Some(Self(meta.len(), meta.modified().ok(), meta.created().ok()))
    }
}

/// A folder. On Windows, a folder cannot be moved while a file in it, such as the lock file, is open.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// The time when a file was created, which distinguishes a file from its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(Option<SystemTime>);

impl FileId {
    pub(crate) fn of(file: &File) -> std::io::Result<Self> {
        Ok(Self(file.metadata()?.created().ok()))
    }
}

impl Folder {
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        std::fs::read_dir(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Fails unless the path leads to a folder.
    pub(crate) fn check_at(&self, path: &Path) -> std::io::Result<()> {
        Self::open(path).map(drop)
    }

    /// Whether a file has this name in the folder, and was not deleted or replaced.
    pub(crate) fn contains(&self, name: &OsStr, file: FileId) -> std::io::Result<bool> {
        match self.0.join(name).symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            found => Ok(FileId(found?.created().ok()) == file),
        }
    }

    /// Renames a temporary file of the folder.
    #[cfg(feature = "file")]
    pub(crate) fn persist(&self, file: tempfile::NamedTempFile, to: &OsStr) -> std::io::Result<()> {
        file.persist(self.0.join(to))?;
        Ok(())
    }
}

/// Opens a file for reading. Refuses symbolic links.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    refuse_link(path)?;
    File::open(path)
}

/// Opens a file for reading. Follows symbolic links.
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

/// Whether [`open`] failed because the path is a symbolic link.
pub(crate) fn is_link(error: &Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Link>())
}

/// Whether the error means that the file no longer exists.
pub(crate) fn is_gone(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

pub(crate) fn has_no_locks(error: &Error) -> bool {
    error.kind() == ErrorKind::Unsupported
}

pub(crate) fn lock_holder(_lock: &File) -> Option<u32> {
    None
}

/// Whether this user owns the file. Always true: on Windows, files are in the home folder, which the user owns.
pub fn is_own(_meta: &Metadata) -> bool {
    true
}

/// Whether other users can read the file. Always false: on Windows, access rights protect the home folder.
pub fn others_read(_meta: &Metadata) -> bool {
    false
}

/// Whether every user can write to the file or folder. Always false: on Windows, access rights protect the home folder.
pub fn everybody_writes(_meta: &Metadata) -> bool {
    false
}

/// Creates a folder and its parents.
pub fn make_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

pub(crate) fn make_private(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

pub(super) fn make_open_private(_file: &File) -> std::io::Result<()> {
    Ok(())
}

/// `std` cannot sync folders on Windows.
pub(crate) fn sync_folder(_folder: &Path) -> std::io::Result<()> {
    Ok(())
}

pub(crate) fn host_name() -> String {
    let named = ["COMPUTERNAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_default()
}

/// Returns the folders for lock files, and for records while the state folder is not writable.
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

pub(crate) fn device(_path: &Path) -> String {
    String::new()
}

pub(crate) fn magic(_path: &Path) -> Option<u64> {
    None
}
