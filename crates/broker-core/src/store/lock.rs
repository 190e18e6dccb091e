//! The lock of a file (flock(2)), and who has it.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::Path;

use super::bytes::cannot;
use crate::Result;
use crate::platform::{self, Version};

/// What came of trying to lock a file.
pub(super) enum Attempt {
    Taken(File),
    /// Who has it, if that can be told.
    Busy(Option<String>),
    /// The file system has no locks.
    Unsupported,
}

pub(super) fn lock(path: &Path) -> Result<Attempt> {
    let lock = platform::open_lock(path).map_err(|error| cannot("open the lock", path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Attempt::Busy(holder(&lock))),
        Err(TryLockError::Error(error)) if platform::has_no_locks(&error) => return Ok(Attempt::Unsupported),
        Err(TryLockError::Error(error)) => return Err(cannot("lock", path, error)),
    }
    // A folder such as /tmp may be cleaned between opening and locking: then it is nobody's lock.
    if !Version::is_at(path, &lock) {
        return Ok(Attempt::Busy(None));
    }
    // For those who wait: who it is. That it cannot be told is no reason to stop.
    let _ = platform::note_in_lock(&lock, &this_process());
    Ok(Attempt::Taken(lock))
}

fn this_process() -> String {
    format!("{} {}", std::process::id(), platform::host_name())
}

/// Who has the lock: the process that the kernel names, else the one that wrote itself into the file, which may be
/// on another host.
fn holder(lock: &File) -> Option<String> {
    if let Some(process) = platform::lock_holder(lock) {
        return Some(format!("process {process}"));
    }
    let mut text = String::new();
    lock.take(300).read_to_string(&mut text).ok()?;
    let (process, at) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let process: u32 = process.parse().ok()?;
    let elsewhere = !at.is_empty() && at != platform::host_name();
    let of = if elsewhere { format!(" on {}", crate::sanitize(at)) } else { String::new() };
    Some(format!("process {process}{of}"))
}
