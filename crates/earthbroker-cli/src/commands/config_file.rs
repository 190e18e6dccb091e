//! Edits the user's configuration file, for `broker add` and `broker import`.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker_core::{ProviderRegistry, platform};
use earthbroker::{Error, ErrorCode, Result, Setup};
use tempfile::NamedTempFile;

use super::CommandContext;

/// The user's configuration file, locked until this value is dropped. Otherwise concurrent commands would overwrite
/// each other's changes.
pub(super) struct UserFile {
    /// The file's path. A symbolic link is followed, not replaced.
    pub(super) path: PathBuf,
    pub(super) folder: PathBuf,
    _lock: File,
}

impl UserFile {
    /// Creates the configuration's folder, and locks it. A file system without locks is no error.
    pub(super) fn open(context: &CommandContext<'_>) -> Result<Self> {
        let files = context.setup().config_files();
        let (file, _) = files.last().ok_or_else(|| {
            Error::new(ErrorCode::WriteFailed, "cannot find your configuration file: HOME is not set")
        })?;
        let real = file.canonicalize().or_else(|_| std::path::absolute(file));
        let path = real.map_err(|error| cannot_write(file, error))?;
        if std::fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
            let why = format!("{} is not a regular file", path.display());
            return Err(Error::new(ErrorCode::WriteFailed, why)
                .with_hint("name a configuration file that can be written, with --config or BROKER_CONFIG"));
        }
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let lock = platform::make_folder(&folder).and_then(|()| File::open(&folder));
        let lock = lock.map_err(|error| cannot_write(&folder, error))?;
        drop(lock.lock());
        Ok(Self { path, folder, _lock: lock })
    }

    /// Returns the file's text, or empty text if the file does not exist.
    pub(super) fn text(&self) -> Result<String> {
        match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(|error| {
                let why = format!("cannot read {}: {error}", self.path.display());
                Error::new(ErrorCode::ConfigUnreadable, why).with_source(error)
            }),
        }
    }

    /// Writes text to a temporary file in the folder, with the mode of the configuration file.
    pub(super) fn temporary(&self, text: &str) -> Result<NamedTempFile> {
        let write = || {
            let mut new = platform::temporary_file(&self.folder, ".broker.", ".tmp")?;
            if let Ok(meta) = std::fs::metadata(&self.path) {
                let mode = meta.permissions().mode() & 0o777;
                new.as_file().set_permissions(Permissions::from_mode(mode))?;
            }
            new.write_all(text.as_bytes())?;
            Ok(new)
        };
        write().map_err(|error| cannot_write(&self.path, error))
    }

    /// Checks that the new file is a valid configuration before it replaces the old one.
    pub(super) fn check(&self, new: &NamedTempFile, name: &str) -> Result<()> {
        let entry = Setup::new().config_file(new.path()).config().and_then(|config| config.entry(name));
        entry.map(drop).map_err(|error| {
            // The error names the temporary file. The user must see the name of the configuration file instead.
            let [new, file] = [new.path(), &self.path].map(|path| path.display().to_string());
            let why = error.first_line().replace(&new, &file);
            error.with_message(format!("the configuration was not changed: {why}"))
        })
    }

    /// Replaces the configuration file.
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
