//! File locks with flock(2), and the processes that have them.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use super::bytes::{cannot_open_lock, cannot_write};
use crate::context::platform::{self, FileId, Folder};
use crate::error::Result;

/// A lock file that this process has locked. Dropping the value releases the lock.
pub(crate) struct Lock {
    pub(crate) file: File,
    /// The folder that contains the lock file.
    pub(crate) folder: Folder,
}

pub(crate) enum Attempt {
    Taken(Lock),
    /// Another process has the lock. The text describes that process, if known.
    Busy(Option<String>),
    /// The file system of the lock file does not support locks.
    Unsupported,
}

pub(crate) fn lock(path: &Path) -> Result<Attempt> {
    let lock = platform::open_lock(path).map_err(|error| cannot_open_lock(path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Attempt::Busy(holder(&lock))),
        Err(TryLockError::Error(error)) if platform::has_no_locks(&error) => return Ok(Attempt::Unsupported),
        Err(TryLockError::Error(error)) => return Err(cannot_write("lock", path, error)),
    }
    let folder_path = path.parent().unwrap_or(path);
    let folder =
        Folder::open(folder_path).map_err(|error| cannot_write("open the folder", folder_path, error))?;
    // A cleanup program may have removed the lock file before it was locked, or another folder was put at the path.
    // Other processes then lock a new file.
    let name = path.file_name().unwrap_or_default();
    let is_there = FileId::of(&lock).and_then(|id| folder.contains(name, id));
    if !is_there.map_err(|error| cannot_write("lock", path, error))? {
        return Ok(Attempt::Busy(None));
    }
    // The text in the lock file only tells waiting processes who has the lock, so a failed write is ignored.
    let _ = platform::note_in_lock(&lock, &format!("{} {}", std::process::id(), platform::host_name()));
    Ok(Attempt::Taken(Lock { file: lock, folder }))
}

/// Returns the process that has the lock, from the kernel or, for a process on another host, from the lock file's text.
fn holder(lock: &File) -> Option<String> {
    if let Some(process) = platform::lock_holder(lock) {
        return Some(format!("process {process}"));
    }
    let mut text = String::new();
    lock.take(300).read_to_string(&mut text).ok()?;
    let (process, host) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let process: u32 = process.parse().ok()?;
    let is_remote = !host.is_empty() && host != platform::host_name();
    let on_host = if is_remote { format!(" on {}", crate::token::sanitize(host)) } else { String::new() };
    Some(format!("process {process}{on_host}"))
}
