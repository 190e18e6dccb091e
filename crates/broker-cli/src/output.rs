//! The file that an answer goes to.

use std::io::ErrorKind;
use std::path::Path;

use broker::{Error, Result, platform};

/// Puts text into a file that only the user can read: all of it, or the file stays what it was. What is there and no
/// file is left alone: a link that somebody placed, a folder, a device.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let shown = path.display();
    if std::fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(Error::failed(format!("{shown} is not replaced: it is a link, a folder or a device"))
            .with_hint("name a file (a link is not followed), or `-` for standard output"));
    }
    platform::write_private(path, text.as_bytes()).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => "its folder is not there".to_owned(),
            other => other.to_string(),
        };
        Error::failed(format!("cannot write {shown}: {why}"))
            .with_hint("the folder of the file has to be there, and yours to write to")
            .with_source(error)
    })
}
