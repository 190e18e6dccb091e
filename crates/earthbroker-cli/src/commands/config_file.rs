//! Edits the user's configuration file, for `broker add` and `broker import`.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker_core::{ProviderRegistry, platform};
use earthbroker::{Error, ErrorCode, Result, Setup};
use tempfile::NamedTempFile;

use super::CommandContext;

/// Returns the user's configuration file and its folder. A symbolic link is followed, not replaced.
pub(super) fn user_file(context: &CommandContext<'_>) -> Result<(PathBuf, PathBuf)> {
    let files = context.setup().config_files();
    let (file, _) = files.last().ok_or_else(|| {
        Error::new(ErrorCode::WriteFailed, "cannot find your configuration file: HOME is not set")
    })?;
    let real = file.canonicalize().or_else(|_| std::path::absolute(file));
    let real = real.map_err(|error| cannot_write(file, error))?;
    if std::fs::metadata(&real).is_ok_and(|meta| !meta.is_file()) {
        return Err(Error::new(ErrorCode::WriteFailed, format!("{} is not a regular file", real.display()))
            .with_hint("name a configuration file that can be written, with --config or BROKER_CONFIG"));
    }
    let folder = real.parent().unwrap_or(Path::new("/")).to_owned();
    Ok((real, folder))
}

/// Creates the configuration's folder, and locks it until the returned file is dropped. Otherwise concurrent commands
/// would overwrite each other's changes. A file system without locks is no error.
pub(super) fn lock(folder: &Path) -> Result<File> {
    platform::make_folder(folder).map_err(|error| cannot_write(folder, error))?;
    let lock = File::open(folder).map_err(|error| cannot_write(folder, error))?;
    drop(lock.lock());
    Ok(lock)
}

/// Returns the text of a file, or empty text if the file does not exist.
pub(super) fn text_of(file: &Path) -> Result<String> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read.map_err(|error| {
            let why = format!("cannot read {}: {error}", file.display());
            Error::new(ErrorCode::ConfigUnreadable, why).with_source(error)
        }),
    }
}

/// Writes text to a temporary file in the folder of `file`, with the mode of `file`.
pub(super) fn temporary(file: &Path, text: &str) -> Result<NamedTempFile> {
    let write = || {
        let mut new = platform::temporary_file(file.parent().unwrap_or(Path::new("/")), ".broker.", ".tmp")?;
        if let Ok(meta) = std::fs::metadata(file) {
            let mode = meta.permissions().mode() & 0o777;
            new.as_file().set_permissions(Permissions::from_mode(mode))?;
        }
        new.write_all(text.as_bytes())?;
        Ok(new)
    };
    write().map_err(|error| cannot_write(file, error))
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

/// Checks that the new file is a valid configuration before it replaces the old one.
pub(super) fn check(new: &NamedTempFile, file: &Path, name: &str) -> Result<()> {
    let entry = Setup::new().config_file(new.path()).config().and_then(|config| config.entry(name));
    entry.map(drop).map_err(|error| {
        // The error names the temporary file. The user must see the name of the configuration file instead.
        let [new, file] = [new.path(), file].map(|path| path.display().to_string());
        let why = error.first_line().replace(&new, &file);
        error.with_message(format!("the configuration was not changed: {why}"))
    })
}

pub(super) fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorCode::WriteFailed, format!("cannot write {}: {error}", path.display())).with_source(error)
}
