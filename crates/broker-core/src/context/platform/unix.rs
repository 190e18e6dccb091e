//! File permissions, locks and folders on Unix and macOS.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::context::Env;

/// Device, inode, size and change time of a file. At least one of these values changes with every write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version(u64, u64, u64, i64, i64);

impl Version {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = path.symlink_metadata().ok()?;
        Some(Self(meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
    }
}

/// An open folder. Another folder may take its path: the path is then moved, mounted over, or a changed link.
#[derive(Debug)]
pub(crate) struct Folder {
    descriptor: OwnedFd,
    id: FileId,
}

/// Device and inode of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    pub(crate) fn of(file: &File) -> std::io::Result<Self> {
        Ok(Self::new(&rustix::fs::fstat(file)?))
    }

    #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
    fn new(stat: &rustix::fs::Stat) -> Self {
        Self(stat.st_dev as u64, stat.st_ino as u64)
    }
}

impl Folder {
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let flags = SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
        let id = FileId::new(&rustix::fs::fstat(&descriptor)?);
        Ok(Self { descriptor, id })
    }

    /// Fails unless the path still leads to this folder.
    pub(crate) fn check_at(&self, path: &Path) -> std::io::Result<()> {
        let is_same = FileId::new(&rustix::fs::stat(path)?) == self.id;
        if is_same { Ok(()) } else { Err(Error::other("another process moved or replaced the folder")) }
    }

    /// Whether a file has this name in the folder, and was not deleted or replaced.
    pub(crate) fn contains(&self, name: &OsStr, file: FileId) -> std::io::Result<bool> {
        match rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            found => Ok(FileId::new(&found?) == file),
        }
    }

    /// Renames a temporary file of the folder, whatever folder is at the folder's path now.
    #[cfg(feature = "file")]
    pub(crate) fn persist(&self, file: tempfile::NamedTempFile, to: &OsStr) -> std::io::Result<()> {
        let from = file.path().file_name().unwrap_or_default();
        rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to)?;
        // Dropping the value would remove a file with the old name.
        let _ = file.keep();
        Ok(())
    }
}

/// Opens a folder without permission to list it, where the system has such a flag.
#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = OFlags::RDONLY;

/// Does not wait for the other end of a named pipe.
const NO_BLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// Opens a file for reading. Refuses symbolic links, and does not block on named pipes.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(NO_FOLLOW).open(path)
}

/// Opens a file for reading. Follows symbolic links, and does not block on named pipes.
pub(super) fn open_followed(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(NO_BLOCK).open(path)
}

/// Opens a lock file, or creates one with mode 0600, whatever the umask.
pub fn open_lock(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(NO_FOLLOW);
    let file = match options.open(path) {
        // A process with a strict umask may have been killed after it created the lock file, before it set the mode.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let Ok(meta) = path.symlink_metadata() else { return Err(error) };
            restore_mode(path, &meta, 0o600)?;
            options.open(path)?
        }
        opened => opened?,
    };
    if file.metadata()?.mode() & 0o600 != 0o600 {
        make_open_private(&file)?;
    }
    Ok(file)
}

/// Whether [`open`] failed because the path is a symbolic link.
pub(crate) fn is_link(error: &Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Whether the error means that the file no longer exists.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::STALE))
}

/// Whether the file system does not support locks. NFS without lockd returns `ENOLCK`, Lustre without `flock` returns
/// `ENOSYS`, and others return `EOPNOTSUPP`.
pub(crate) fn has_no_locks(error: &Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP))
}

/// Finds the process that has the lock in `proc_locks(5)`: `1: FLOCK ADVISORY WRITE 1234 fd:00:5678 0 EOF`.
pub(crate) fn lock_holder(lock: &File) -> Option<u32> {
    let meta = lock.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let locks = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    locks
        .filter(|words| words.len() == 8 && words[1] == "FLOCK" && words[5] == file)
        .find_map(|words| words[4].parse().ok())
}

/// Whether this user owns the file.
pub fn is_own(meta: &Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// Whether users other than the owner can read, write or execute the file.
pub fn others_read(meta: &Metadata) -> bool {
    meta.mode() & 0o077 != 0
}

/// Whether every user can write to the file, or replace files in the folder. In a folder with the sticky bit, users can
/// replace only their own files.
pub fn everybody_writes(meta: &Metadata) -> bool {
    meta.mode() & 0o002 != 0 && !(meta.is_dir() && meta.mode() & 0o1000 != 0)
}

/// Creates a folder and its parents with mode 0700, whatever the umask.
pub fn make_folder(path: &Path) -> std::io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => restore_mode(folder, &folder.symlink_metadata()?, 0o700)?,
            // Another process may have created the folder first.
            Err(_) if folder.is_dir() => {}
            // The folder is a file, or cannot be examined.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(std::fs::metadata(folder).err().unwrap_or(error));
            }
            // File systems such as /proc refuse a new folder with "not found" although the parent exists.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ErrorKind::PermissionDenied.into());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Restores permissions of the owner that the umask removed.
fn restore_mode(path: &Path, meta: &Metadata, mode: u32) -> std::io::Result<()> {
    if meta.mode() & mode & 0o700 == mode & 0o700 || meta.is_symlink() {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    // A symbolic link has no mode of its own, and the link's target may belong to another user.
    if path.symlink_metadata()?.is_symlink() {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// Gives an open file the mode 0600, whatever the umask.
pub(super) fn make_open_private(file: &File) -> std::io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Syncs a folder, so that renames in the folder survive a crash.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Ignores the error: some network file systems cannot sync folders, and a sync needs read permission.
        Err(error)
            if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP | Errno::ACCESS)) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Returns the folders for lock files, and for records while the state folder is not writable. Environment
/// variables have no effect. `/tmp` is necessary because `/run/user` exists only during a login session.
pub(crate) fn runtime_folders() -> [PathBuf; 2] {
    let user = rustix::process::geteuid().as_raw();
    [format!("/run/user/{user}/broker").into(), format!("/tmp/broker-{user}").into()]
}

pub(super) fn config_folder(env: &dyn Env) -> Option<PathBuf> {
    Some(env.home()?.join(".config"))
}

pub(super) fn state_folder(env: &dyn Env) -> Option<PathBuf> {
    Some(env.home()?.join(".local/state"))
}

/// Returns the device number of a path as `MAJOR:MINOR`, the form in `/proc/self/mountinfo`.
pub(crate) fn device(path: &Path) -> String {
    let device = std::fs::metadata(path).map_or(0, |meta| meta.dev());
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

/// Returns the file system type of a path: the magic number from statfs(2).
#[cfg(target_os = "linux")]
pub(crate) fn magic(path: &Path) -> Option<u64> {
    // On some platforms `f_type` is sign-extended; the magic number has only 32 bits.
    rustix::fs::statfs(path).ok().map(|stat| stat.f_type.cast_unsigned() & 0xFFFF_FFFF)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn magic(_path: &Path) -> Option<u64> {
    None
}
