//! Who owns a file, and who may do what with it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whether it belongs to whoever runs this.
pub(super) fn is_ours(meta: &Metadata) -> bool {
    meta.uid() == rustix::process::geteuid().as_raw()
}

/// Whether others may read or write it, or look into it.
pub(super) fn is_open(meta: &Metadata) -> bool {
    meta.mode() & 0o077 != 0
}

/// Whether others may change it: by its mode, or by its owner, unless that is the system's.
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

/// A word as a shell reads it.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
