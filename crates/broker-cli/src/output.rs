//! The file that an answer goes to.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use broker::{Error, Result};

/// Puts text into a file that only the user can read: all of it, or the file stays what it was. What is there and no
/// file is left alone: a link that somebody placed, a folder, a device.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let shown = path.display();
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(Error::failed(format!("{shown} is not replaced: it is a link, a folder or a device"))
            .with_hint("name a file (a link is not followed), or `-` for standard output"));
    }
    replace(path, text).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => "its folder is not there".to_owned(),
            other => other.to_string(),
        };
        Error::failed(format!("cannot write {shown}: {why}"))
            .with_hint("the folder of the file has to be there, and yours to write to")
            .with_source(error)
    })
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".broker.")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
