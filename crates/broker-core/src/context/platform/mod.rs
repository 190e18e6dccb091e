//! Differences between operating systems: permissions, owners, links, locks, folders. No other library code depends
//! on the operating system.
//!
//! On Unix, the file mode makes a file private. On Windows, a file in the user's home folder inherits private
//! access rights.

#[cfg(not(all(unix, not(portable))))]
mod portable;
#[cfg(feature = "file")]
mod private;
#[cfg(all(unix, not(portable)))]
mod unix;

use std::fs::File;
use std::io::{Error, ErrorKind, Result, Seek, Write};
use std::path::{Path, PathBuf};

use crate::context::Env;

#[cfg(not(all(unix, not(portable))))]
use portable as system;
#[cfg(all(unix, not(portable)))]
use unix as system;

#[cfg(feature = "file")]
pub(crate) use private::replace_in;
#[cfg(feature = "file")]
pub use private::{put_in_place, temporary_file, write_private};
pub(crate) use system::host_name;
#[cfg(feature = "file")]
pub(crate) use system::{
    FileId, Folder, Version, device, has_no_locks, is_gone, is_link, lock_holder, magic, make_private, open,
    runtime_folders, sync_folder,
};
pub use system::{everybody_writes, is_own, make_folder, open_lock, others_read};

/// Opens a regular file for reading. Follows symbolic links, and does not block on named pipes.
pub fn open_followed(path: &Path) -> Result<File> {
    let file = system::open_followed(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(Error::new(ErrorKind::InvalidInput, "not a regular file"))
}

/// Replaces the text in a lock file. On Windows, other processes can read the text only after the lock is released.
pub(crate) fn note_in_lock(mut lock: &File, text: &str) -> Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(text.as_bytes())
}

/// Expands `~/` at the start of a configured path.
pub fn expand(path: &Path, env: &dyn Env) -> PathBuf {
    match (path.strip_prefix("~"), env.home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

/// Returns the folder for configuration: `$XDG_CONFIG_HOME`, or the system's default.
pub fn config_folder(env: &dyn Env) -> Option<PathBuf> {
    base(env, "XDG_CONFIG_HOME").or_else(|| system::config_folder(env))
}

/// Returns the folder for state: `$XDG_STATE_HOME`, or the system's default.
pub fn state_folder(env: &dyn Env) -> Option<PathBuf> {
    base(env, "XDG_STATE_HOME").or_else(|| system::state_folder(env))
}

/// Reads a folder from an environment variable. The XDG specification says to ignore relative paths.
fn base(env: &dyn Env, variable: &str) -> Option<PathBuf> {
    env.var(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
