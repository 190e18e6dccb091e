//! The lock of a file (flock(2)), and who has it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::io::Errno;

use super::read::{cannot, no_follow};
use crate::Result;

/// What came of trying to lock a file.
pub(super) enum Attempt {
    Taken(File),
    /// Who has it, if that can be told.
    Busy(Option<String>),
    /// The file system has no locks.
    Unsupported,
}

pub(super) fn lock(path: &Path) -> Result<Attempt> {
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path)
        .map_err(|error| cannot("open the lock", path, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Attempt::Busy(holder(&lock))),
        Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(Attempt::Unsupported),
        Err(TryLockError::Error(error)) => return Err(cannot("lock", path, error)),
    }
    // A folder such as /tmp may be cleaned between opening and locking: then it is nobody's lock.
    let is_here = std::fs::metadata(path).and_then(|here| Ok((here, lock.metadata()?)));
    if !is_here.is_ok_and(|(here, ours)| (here.dev(), here.ino()) == (ours.dev(), ours.ino())) {
        return Ok(Attempt::Busy(None));
    }
    // For those who wait: who it is. That it cannot be told is no reason to stop.
    let _ = lock.set_len(0).and_then(|()| lock.write_all_at(this_process().as_bytes(), 0));
    Ok(Attempt::Taken(lock))
}

/// NFS without lockd says `ENOLCK`, Lustre without `flock` `ENOSYS`, others `EOPNOTSUPP`.
pub(super) fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn this_process() -> String {
    format!("{} {}", std::process::id(), host())
}

/// Who has the lock: the process that the kernel names, else the one that wrote itself into the file, which may be
/// on another host.
fn holder(lock: &File) -> Option<String> {
    if let Some(process) = named_by_kernel(lock) {
        return Some(format!("process {process}"));
    }
    let mut text = String::new();
    lock.take(300).read_to_string(&mut text).ok()?;
    let (process, at) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let process: u32 = process.parse().ok()?;
    let elsewhere = !at.is_empty() && at != host();
    let of = if elsewhere { format!(" on {}", crate::printable(at)) } else { String::new() };
    Some(format!("process {process}{of}"))
}

/// From `proc_locks(5)`: `1: FLOCK  ADVISORY  WRITE 1234 fd:00:5678 0 EOF`.
fn named_by_kernel(lock: &File) -> Option<u32> {
    let meta = lock.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", meta.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let held = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    held.filter(|words| words.len() == 8 && words[1] == "FLOCK" && words[5] == file)
        .find_map(|words| words[4].parse().ok())
}
