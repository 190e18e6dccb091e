//! Reading a configuration file: it says which programs run and where secrets go.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use broker_core::platform;

/// More than any configuration has.
const LONGEST: u64 = 16 * 1024 * 1024;

/// How long to wait for what comes through a pipe: whoever writes may ask somebody for a passphrase.
const PIPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The text of a file. One that somebody named may be a pipe (`--config <(…)`); in the usual places nothing but a file
/// is read, and never waited for. A file that everybody can write is nobody's configuration.
pub(super) fn read(path: &Path, is_named: bool) -> Result<String> {
    let file = match platform::open_followed(path) {
        Err(error) if is_named && error.kind() == ErrorKind::InvalidInput && !path.is_dir() => {
            return read_pipe(path.to_owned());
        }
        opened => opened?,
    };
    if platform::everybody_writes(&file.metadata()?) {
        let why =
            format!("everybody can write it, and it says which programs run: chmod o-w {}", path.display());
        return Err(Error::new(ErrorKind::PermissionDenied, why));
    }
    text(file)
}

fn text(file: File) -> Result<String> {
    let mut text = String::new();
    match file.take(LONGEST + 1).read_to_string(&mut text)? as u64 {
        read if read > LONGEST => Err(Error::new(ErrorKind::InvalidData, "it is longer than 16 MiB")),
        _ => Ok(text),
    }
}

/// Reads in a thread of its own, which is left behind if nothing comes.
fn read_pipe(path: PathBuf) -> Result<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(File::open(path).and_then(text)));
    let late = || Err(Error::new(ErrorKind::TimedOut, "it is a pipe, and nothing came through it"));
    receiver.recv_timeout(PIPE_TIMEOUT).unwrap_or_else(|_| late())
}
