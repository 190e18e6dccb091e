//! Opening a page, in a process of its own: what opens it does not get the broker's secrets in its environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// What this program is called when it is to open a page.
const CALLED: &str = "broker-open-page";

/// Opens a page without these environment variables. It may take its time, or the terminal: the login does not wait.
pub(super) fn open(url: &str, without: &[String]) {
    let Ok(this) = this() else { return };
    let mut command = Command::new(this);
    command.arg0(CALLED).arg(url);
    for name in without {
        command.env_remove(name);
    }
    // The page stands on the terminal too.
    let Ok(mut opens) = command.spawn() else { return };
    std::thread::spawn(move || opens.wait());
}

/// This program; on Linux also if its file was removed or replaced since, as by an upgrade.
fn this() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Opens the page that these words name, if this program was called for that.
pub(crate) fn opened(words: &[OsString]) -> bool {
    let [called, url] = words else { return false };
    let is_called = called.as_os_str() == OsStr::new(CALLED);
    if let Some(url) = url.to_str().filter(|_| is_called) {
        let _ = webbrowser::open(url);
    }
    is_called
}
