//! Unix, macOS among them.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::Error;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::Env;

/// Which file, and which version of it: whatever replaces it or writes to it makes another.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version(u64, u64, u64, i64, i64);

impl Version {
    /// Of what is at a path, a link itself.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = path.symlink_metadata().ok()?;
        Some(Self(meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()))
    }

    /// Whether an open file is the one at a path.
    pub(crate) fn is_at(path: &Path, file: &File) -> bool {
        let both = std::fs::metadata(path).and_then(|here| Ok((here, file.metadata()?)));
        both.is_ok_and(|(here, ours)| (here.dev(), here.ino()) == (ours.dev(), ours.ino()))
    }
}

/// Opens a file to read, never what a link names, and never waiting for who writes to a pipe.
pub(crate) fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(no_follow()).open(path)
}

/// Opens a file to read, or what a link names, never waiting for who writes to a pipe.
pub(super) fn open_followed(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(flags(OFlags::NONBLOCK)).open(path)
}

/// Opens a file to lock, or makes it with mode 0600, whatever the umask takes away.
pub fn open_lock(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600).custom_flags(no_follow());
    let file = match options.open(path) {
        // Its maker was ended before it could give itself back what its umask took.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            restore_mode(path, &path.symlink_metadata()?, 0o600)?;
            options.open(path)?
        }
        opened => opened?,
    };
    if file.metadata()?.mode() & 0o600 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn no_follow() -> i32 {
    flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)
}

/// The bits of open(2) flags are an int.
fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Replaces what is in a lock file, without moving in it.
pub(crate) fn note_in_lock(lock: &File, text: &str) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.write_all_at(text.as_bytes(), 0)
}

/// Whether it was a link that is not followed.
pub(crate) fn is_link(error: &Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Whether a file was removed by somebody else.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::STALE))
}

/// Whether the file system has no locks: NFS without lockd says `ENOLCK`, Lustre without `flock` `ENOSYS`, others
/// `EOPNOTSUPP`.
pub(crate) fn has_no_locks(error: &Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP))
}

/// The process that the kernel says has the lock, from `proc_locks(5)`: `1: FLOCK ADVISORY WRITE 1234 fd:00:5678 0 EOF`.
pub(crate) fn lock_holder(lock: &File) -> Option<u32> {
    let meta = lock.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let held = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    held.filter(|words| words.len() == 8 && words[1] == "FLOCK" && words[5] == file)
        .find_map(|words| words[4].parse().ok())
}

/// Whether this user owns it.
#[must_use]
pub fn is_own(meta: &Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// Whether this user owns it, and nobody else can look into it.
pub(crate) fn is_private(meta: &Metadata) -> bool {
    is_own(meta) && !others_read(meta)
}

/// Whether others than its owner may do anything with it.
#[must_use]
pub fn others_read(meta: &Metadata) -> bool {
    meta.mode() & 0o077 != 0
}

/// Whether everybody may write a file, or replace what is in a folder: where its sticky bit is set, others cannot
/// replace what is ours.
#[must_use]
pub fn everybody_writes(meta: &Metadata) -> bool {
    meta.mode() & 0o002 != 0 && !(meta.is_dir() && meta.mode() & 0o1000 != 0)
}

/// Makes a folder that nobody else can look into, and those above it, whatever the umask takes away.
pub fn make_folder(path: &Path) -> std::io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.is_dir();
    let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => restore_mode(folder, &folder.symlink_metadata()?, 0o700)?,
            // Somebody else was faster.
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Gives the owner back what a umask has taken away.
fn restore_mode(path: &Path, meta: &Metadata, mode: u32) -> std::io::Result<()> {
    if meta.mode() & mode & 0o700 == mode & 0o700 || meta.is_symlink() {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Takes a file away from others.
pub(crate) fn make_private(path: &Path) -> std::io::Result<()> {
    // A link's own mode counts for nothing, and what it names may be somebody else's.
    if path.symlink_metadata()?.is_symlink() {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
}

/// A temporary file of mode 0600, whatever the umask takes away.
#[cfg(feature = "file")]
pub(super) fn temporary_file(
    builder: &mut tempfile::Builder<'_, '_>,
    folder: &Path,
) -> std::io::Result<tempfile::NamedTempFile> {
    let mode = Permissions::from_mode(0o600);
    let file = builder.permissions(mode.clone()).tempfile_in(folder)?;
    file.as_file().set_permissions(mode)?;
    Ok(file)
}

/// Makes a change of names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // Some network file systems cannot, nor can who may not read the folder; there a rename is as durable as it gets.
        Err(error)
            if matches!(Errno::from_io_error(&error), Some(Errno::INVAL | Errno::NOTSUP | Errno::ACCESS)) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

/// What this machine is called.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Folders that processes of the user find whatever their environment; the first only while somebody is logged in.
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

/// The device that a path is on, as mountinfo writes it.
pub(crate) fn device(path: &Path) -> String {
    let device = std::fs::metadata(path).map_or(0, |meta| meta.dev());
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

/// The kind of file system that a path is on: the magic number of statfs(2).
#[cfg(target_os = "linux")]
pub(crate) fn magic(path: &Path) -> Option<u64> {
    // The kernel gives 32 bits, which some platforms sign-extend.
    rustix::fs::statfs(path).ok().map(|stat| stat.f_type.cast_unsigned() & 0xFFFF_FFFF)
}

/// What it is cannot be told here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn magic(_path: &Path) -> Option<u64> {
    None
}
