//! Writes output files.

use std::io::ErrorKind;
use std::path::Path;

use broker::{Error, ErrorCode, Result, platform};

/// Writes text atomically to a file that only the user can read. Refuses to replace a link, a folder or a device.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let shown = path.display();
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let message = format!("cannot write {shown}: it is a link, a folder or a device");
        return Err(Error::new(ErrorCode::WriteFailed, message)
            .with_hint("use the name of a regular file, or `-` for standard output"));
    }
    platform::write_private(path, text.as_bytes()).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => "its folder does not exist".to_owned(),
            other => other.to_string(),
        };
        Error::new(ErrorCode::WriteFailed, format!("cannot write {shown}: {why}"))
            .with_hint("choose a file in an existing folder that you can write to")
            .with_source(error)
    })
}
