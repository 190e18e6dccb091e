//! The temporary folder for the token files of `broker exec --file`.

use std::fs::{File, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker_core::platform;
use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::files::absolute;

const PREFIX: &str = "broker-exec-";

/// A private folder, removed when dropped. This process locks the folder. A folder without a lock belongs to a killed
/// process.
pub(super) struct Folder {
    folder: TempDir,
    _lock: File,
}

impl Folder {
    /// Creates a folder in `XDG_RUNTIME_DIR`, or else in the system's temporary folder.
    pub(super) fn make() -> Result<Self> {
        if let Some(Ok(folder)) = absolute("XDG_RUNTIME_DIR").as_deref().map(Self::make_in) {
            return Ok(folder);
        }
        // The path is absolute, because the user's command may change the working folder.
        Self::make_in(&std::path::absolute(std::env::temp_dir())?)
    }

    fn make_in(base: &Path) -> Result<Self> {
        sweep(base);
        for _ in 0..16 {
            let permissions = Permissions::from_mode(0o700);
            let mut builder = tempfile::Builder::new();
            let folder = builder.prefix(PREFIX).permissions(permissions.clone()).tempdir_in(base)?;
            // The umask may have removed permissions from the new folder.
            let _ = std::fs::set_permissions(folder.path(), permissions);
            // Until the folder is locked, another process may treat it as abandoned and delete it.
            let lock = match open(folder.path()) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let swept = matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) || !folder.path().exists();
            if !swept {
                return Ok(Self { folder, _lock: lock });
            }
        }
        let why = "another process keeps removing the new folder for token files";
        Err(Error::new(ErrorKind::ResourceBusy, why))
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file with mode 0600 atomically.
    pub(super) fn write(&self, name: &str, line: &str) -> Result<()> {
        platform::write_private(&self.path_of(name), Zeroizing::new(format!("{line}\n")).as_bytes())
    }

    pub(super) fn remove(self) -> Result<()> {
        self.folder.close()
    }
}

/// Removes the token folders that killed processes of this user left behind.
fn sweep(base: &Path) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && let Ok(folder) = open(&path)
            && folder.metadata().is_ok_and(|about| platform::is_own(&about))
            && folder.try_lock().is_ok()
        {
            // If the removal fails, the next `broker exec --file` tries to remove the folder again.
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

/// Opens a folder. Fails if `path` is a symbolic link.
fn open(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}
