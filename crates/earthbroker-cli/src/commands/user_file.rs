//! The configuration file that `broker add` and `broker import` change.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker_core::{ProviderRegistry, platform};
use earthbroker::{Error, ErrorCode, Result, Setup};
use tempfile::NamedTempFile;

use super::CommandContext;

/// The user's configuration file, locked until dropped. Otherwise concurrent commands would overwrite each other's
/// changes.
pub(super) struct UserFile {
    pub(super) path: PathBuf,
    _lock: File,
}

impl UserFile {
    /// Finds the file, and creates and locks its folder. A symbolic link is followed, not replaced. Continues without
    /// a lock if the file system has no locks.
    pub(super) fn lock(context: &CommandContext<'_>) -> Result<Self> {
        let files = context.setup().config_files();
        let (file, _) = files.last().ok_or_else(|| {
            Error::new(ErrorCode::WriteFailed, "cannot find your configuration file: HOME is not set")
        })?;
        let path = file.canonicalize().or_else(|_| std::path::absolute(file));
        let path = path.map_err(|error| cannot_write(file, error))?;
        if std::fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            let why = format!("{} is not a regular file", path.display());
            return Err(Error::new(ErrorCode::WriteFailed, why)
                .with_hint("name a configuration file that can be written, with --config or BROKER_CONFIG"));
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        let opened = platform::make_folder(folder).and_then(|()| File::open(folder));
        let lock = opened.map_err(|error| cannot_write(folder, error))?;
        drop(lock.lock());
        Ok(Self { path, _lock: lock })
    }

    /// Returns the text of the file, or empty text if the file does not exist.
    pub(super) fn text(&self) -> Result<String> {
        match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| {
                let why = format!("cannot read {}: {error}", self.path.display());
                Error::new(ErrorCode::ConfigUnreadable, why).with_source(error)
            }),
        }
    }

    /// Writes the new text to a temporary file with the same mode. Checks the configuration of the provider `checked`.
    pub(super) fn temporary(&self, text: &str, checked: Option<&str>) -> Result<NamedTempFile> {
        let write = || {
            let folder = self.path.parent().unwrap_or(Path::new("/"));
            let mut new = platform::temporary_file(folder, ".broker.", ".tmp")?;
            if let Ok(meta) = std::fs::metadata(&self.path) {
                let mode = meta.permissions().mode() & 0o777;
                new.as_file().set_permissions(Permissions::from_mode(mode))?;
            }
            new.write_all(text.as_bytes())?;
            Ok(new)
        };
        let new = write().map_err(|error| cannot_write(&self.path, error))?;
        let Some(name) = checked else { return Ok(new) };
        let entry = Setup::new().config_file(new.path()).config().and_then(|config| config.entry(name));
        entry.map_err(|error| {
            // The error names the temporary file. The user must see the name of the configuration file instead.
            let [temporary, file] = [new.path(), &self.path].map(|path| path.display().to_string());
            let why = error.first_line().replace(&temporary, &file);
            error.with_message(format!("the configuration was not changed: {why}"))
        })?;
        Ok(new)
    }

    /// Replaces the file with the temporary file.
    pub(super) fn replace(&self, new: NamedTempFile) -> Result<()> {
        platform::put_in_place(new, &self.path).map_err(|error| cannot_write(&self.path, error))
    }
}

/// Appends text to a file's text, after a blank line.
pub(super) fn appended(before: &str, text: &str) -> String {
    let gap = match before.as_bytes() {
        [] => "",
        [.., b'\n'] => "\n",
        _ => "\n\n",
    };
    format!("{before}{gap}{text}")
}

pub(super) fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorCode::WriteFailed, format!("cannot write {}: {error}", path.display())).with_source(error)
}
