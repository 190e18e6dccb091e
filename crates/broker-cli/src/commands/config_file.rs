//! The file of the person's configuration, for the commands that add to it.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use broker::{Error, ProviderRegistry, Result, Setup, platform};
use tempfile::NamedTempFile;

use super::CommandContext;

/// The file of the person's configuration. A link of their own is written through, not replaced.
pub(super) fn person_file(context: &CommandContext<'_>) -> Result<PathBuf> {
    let files = context.setup().config_files();
    let (file, _) = files.last().ok_or_else(|| Error::failed("there is no home folder to write to"))?;
    let real = file.canonicalize().or_else(|_| std::path::absolute(file));
    let real = real.map_err(|error| at("found", file, error))?;
    if std::fs::metadata(&real).is_ok_and(|meta| !meta.is_file()) {
        return Err(Error::failed(format!("{} is no file: it is not replaced", real.display()))
            .with_hint("name a configuration file that can be written: --config or BROKER_CONFIG"));
    }
    Ok(real)
}

/// Makes the folder, and waits for its turn there, which lasts as long as what this gives: of two at once the second
/// reads what the first has written. Where there are no locks, it is as in an editor.
pub(super) fn turn(folder: &Path) -> Result<File> {
    platform::make_folder(folder).map_err(|error| at("made", folder, error))?;
    let turn = File::open(folder).map_err(|error| at("opened", folder, error))?;
    drop(turn.lock());
    Ok(turn)
}

/// The text of a file, if it is there.
pub(super) fn text_of(file: &Path) -> std::io::Result<String> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// A text in a file beside the one whose place it is to take, with its mode.
pub(super) fn beside(file: &Path, text: &str) -> std::io::Result<NamedTempFile> {
    let mut new = platform::temporary_file(file.parent().unwrap_or(Path::new("/")), ".broker.", ".tmp")?;
    if let Ok(there) = std::fs::metadata(file) {
        let mode = there.permissions().mode() & 0o777;
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    new.write_all(text.as_bytes())?;
    Ok(new)
}

/// Whether it is a configuration, before it takes the place of the one that is there.
pub(super) fn check(new: &NamedTempFile, file: &Path, name: &str) -> Result<()> {
    let entry = Setup::new().config_file(new.path()).config().and_then(|config| config.entry(name));
    entry.map(drop).map_err(|error| {
        let told = error.message().replace(&new.path().display().to_string(), &file.display().to_string());
        Error::configuration(format!("nothing was changed: {told}"))
    })
}

/// An error of a file.
pub(super) fn at(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("{} cannot be {what}: {error}", path.display())).with_source(error)
}
