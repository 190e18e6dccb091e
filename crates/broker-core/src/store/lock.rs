//! File locks (flock(2)) and their owners.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use super::bytes::{cannot_open_lock, cannot_write};
use crate::Result;
use crate::platform::{self, Version};

/// The result of an attempt to lock a file.
pub(super) enum Attempt {
    Taken(File),
    /// Another process has the lock: its name, if known.
    Busy(Option<String>),
    /// The file system does not support locks.
    Unsupported,
}

pub(super) fn lock(path: &Path) -> Result<Attempt> {
    let lock = platform::open_lock(path).map_err(|error| cannot_open_lock(path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Attempt::Busy(holder(&lock))),
        Err(TryLockError::Error(error)) if platform::has_no_locks(&error) => return Ok(Attempt::Unsupported),
        Err(TryLockError::Error(error)) => return Err(cannot_write("lock", path, error)),
    }
    // A cleaner of /tmp may remove the file between opening and locking.
    if !Version::is_at(path, &lock) {
        return Ok(Attempt::Busy(None));
    }
    // Tells waiting processes who has the lock; an error does not matter.
    let _ = platform::note_in_lock(&lock, &this_process());
    Ok(Attempt::Taken(lock))
}

fn this_process() -> String {
    format!("{} {}", std::process::id(), platform::host_name())
}

/// Returns the owner of the lock: from the kernel, else from the file, whose owner may be on another host.
fn holder(lock: &File) -> Option<String> {
    if let Some(process) = platform::lock_holder(lock) {
        return Some(format!("process {process}"));
    }
    let mut text = String::new();
    lock.take(300).read_to_string(&mut text).ok()?;
    let (process, host) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let process: u32 = process.parse().ok()?;
    let is_remote = !host.is_empty() && host != platform::host_name();
    let on_host = if is_remote { format!(" on {}", crate::sanitize(host)) } else { String::new() };
    Some(format!("process {process}{on_host}"))
}
