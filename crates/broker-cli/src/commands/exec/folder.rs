//! The folder of the files of `broker exec --file`.

use std::fs::{File, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker::platform;
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;
use zeroize::Zeroizing;

const PREFIX: &str = "broker-exec-";

/// A folder for nobody else, gone when dropped. It is locked for as long as its process lives: one that nobody has a
/// lock on was left by a process that was killed.
pub(super) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Makes one where files of a session are, or else where temporary ones are.
    pub(super) fn make() -> Result<Self> {
        let session =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(Ok(folder)) = session.as_deref().map(Self::make_in) {
            return Ok(folder);
        }
        // The command may change its folder.
        Self::make_in(&std::path::absolute(std::env::temp_dir())?)
    }

    fn make_in(base: &Path) -> Result<Self> {
        sweep(base);
        for _ in 0..16 {
            let permissions = Permissions::from_mode(0o700);
            let mut builder = tempfile::Builder::new();
            let folder = builder.prefix(PREFIX).permissions(permissions.clone()).tempdir_in(base)?;
            // A umask may have taken something away, and who sweeps may have removed it.
            let _ = std::fs::set_permissions(folder.path(), permissions);
            // Whoever sweeps may have removed it already.
            let lock = match open(folder.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened?,
            };
            // Whoever sweeps may have met it before it was locked.
            let swept = matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) || !folder.path().exists();
            if !swept {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(Error::new(ErrorKind::ResourceBusy, "each new folder is removed at once"))
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of mode 0600, in one step.
    pub(super) fn write(&self, name: &str, line: &str) -> Result<()> {
        platform::write_private(&self.path_of(name), Zeroizing::new(format!("{line}\n")).as_bytes())
    }

    /// Removes it with all that is in it.
    pub(super) fn remove(self) -> Result<()> {
        self.folder.close()
    }
}

/// Removes the folders of this user that were left by processes that were killed.
fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && let Ok(folder) = open(&path)
            && folder.metadata().is_ok_and(|about| platform::is_own(&about))
            && folder.try_lock().is_ok()
        {
            // What cannot be removed now may be the next time.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// A folder itself, never what a link names.
fn open(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}
