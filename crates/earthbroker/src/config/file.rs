//! Reads configuration files, and refuses files that every user can change.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use broker_core::{platform, utf8};

/// The size limit of a configuration file in bytes.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// How long to wait for the program that writes to a pipe. The program may ask the user for a passphrase.
const PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a configuration file. A file that the user named may be a pipe (`<(…)` of a shell); a default file must be
/// regular. A file that every user can change is refused.
pub(super) fn read(path: &Path, is_named: bool) -> Result<String> {
    let file = match platform::open_followed(path) {
        Err(error) if is_named && error.kind() == ErrorKind::InvalidInput && !path.is_dir() => {
            return read_pipe(path.to_owned());
        }
        opened => opened?,
    };
    if platform::everybody_writes(&file.metadata()?) {
        let why = "every user can change this file, which names programs to run";
        return Err(Error::new(ErrorKind::PermissionDenied, why));
    }
    text(file)
}

fn text(file: File) -> Result<String> {
    let mut bytes = Vec::new();
    match file.take(MAX_SIZE + 1).read_to_end(&mut bytes)? as u64 {
        size if size > MAX_SIZE => Err(Error::new(ErrorKind::FileTooLarge, "the file is longer than 16 MiB")),
        _ => Ok(utf8(&bytes)?.trim_start_matches('\u{feff}').to_owned()),
    }
}

/// Reads a pipe in another thread, so that a pipe without a writer causes a timeout, not a hang.
fn read_pipe(path: PathBuf) -> Result<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(File::open(path).and_then(text)));
    let late = || Err(Error::new(ErrorKind::TimedOut, "no program wrote to this pipe within 10 s"));
    receiver.recv_timeout(PIPE_TIMEOUT).unwrap_or_else(|_| late())
}
