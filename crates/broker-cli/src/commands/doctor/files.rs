//! The permissions of files.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) use broker::platform::{is_own, others_read};

use crate::format::word;

/// Whether other users can change a file: by its mode, or because a user other than root owns it.
pub(super) fn others_can_write(meta: &Metadata) -> bool {
    // In a folder with the sticky bit, other users cannot replace our files.
    let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
    (meta.mode() & 0o022 != 0 && !sticky) || !(is_own(meta) || meta.uid() == 0)
}

/// Returns the mode as chmod(1) writes it.
pub(super) fn mode(meta: &Metadata) -> String {
    format!("{:04o}", meta.mode() & 0o7777)
}

/// Returns a path quoted for a shell.
pub(super) fn quoted(path: &Path) -> String {
    word(&path.display().to_string())
}
