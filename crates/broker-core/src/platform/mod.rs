//! What differs between operating systems in files: permissions, owners, links, locks, folders. Nothing else in the
//! workspace asks the system for these.
//!
//! On Unix, macOS among them, a file is private by its mode. Elsewhere `std` alone is asked: on Windows a file of the
//! user's profile is private by the access list that it inherits from there.

#[cfg(not(all(unix, not(portable))))]
mod portable;
#[cfg(all(unix, not(portable)))]
mod unix;

use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::Env;

#[cfg(not(all(unix, not(portable))))]
use portable as system;
#[cfg(all(unix, not(portable)))]
use unix as system;

pub(crate) use system::{
    Version, device, has_no_locks, host_name, is_gone, is_link, lock_holder, magic, note_in_lock, open,
    open_lock, runtime_folders, sync_folder,
};
pub use system::{everybody_writes, is_own, is_private, make_folder, make_private, others_read};

/// A temporary file that nobody else can read, in `folder`.
pub fn temporary_file(folder: &Path, prefix: &str, suffix: &str) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(suffix);
    system::private(&mut builder);
    builder.tempfile_in(folder)
}

/// The folder for configuration: `$XDG_CONFIG_HOME`, or where the system has it.
#[must_use]
pub fn config_folder(env: &dyn Env) -> Option<PathBuf> {
    base(env, "XDG_CONFIG_HOME").or_else(|| system::config_folder(env))
}

/// The folder for what programs remember: `$XDG_STATE_HOME`, or where the system has it.
#[must_use]
pub fn state_folder(env: &dyn Env) -> Option<PathBuf> {
    base(env, "XDG_STATE_HOME").or_else(|| system::state_folder(env))
}

/// The XDG base directory specification says that relative ones are to be ignored.
fn base(env: &dyn Env, variable: &str) -> Option<PathBuf> {
    env.var(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
