//! Who owns a file, and who may do what with it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) use broker::platform::{is_own as is_ours, others_read as is_open};

use crate::format::word;

/// Whether others may change it, its group among them: by its mode, or by its owner, unless that is the system's.
pub(super) fn others_may_write(meta: &Metadata) -> bool {
    // Where the sticky bit is set, others cannot replace what is ours.
    let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
    (meta.mode() & 0o022 != 0 && !sticky) || !(is_ours(meta) || meta.uid() == 0)
}

/// The mode as chmod(1) has it.
pub(super) fn mode(meta: &Metadata) -> String {
    format!("{:04o}", meta.mode() & 0o7777)
}

/// A path as a shell reads it.
pub(super) fn quoted(path: &Path) -> String {
    word(&path.display().to_string())
}
