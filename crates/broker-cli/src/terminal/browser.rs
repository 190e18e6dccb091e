//! Opens a page in a separate process, whose environment has no secrets that the browser could inherit.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// The name (`argv[0]`) under which this program opens a page.
const OPENER: &str = "broker-open-page";

/// Opens a page in the background. The browser does not get the environment variables in `without`.
pub(super) fn open(url: &str, without: &[String]) {
    let Ok(program) = this_program() else { return };
    let mut command = Command::new(program);
    command.arg0(OPENER).arg(url);
    for name in without {
        command.env_remove(name);
    }
    // If the start fails, the user can open the printed address.
    let Ok(mut opener) = command.spawn() else { return };
    std::thread::spawn(move || opener.wait());
}

/// Returns the path of this program. On Linux the path stays valid after an upgrade replaces the program's file.
fn this_program() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}

/// Opens the page in the arguments if [`open`] started this process. Returns whether [`open`] did.
pub(crate) fn open_page(words: &[OsString]) -> bool {
    let [name, url] = words else { return false };
    let is_opener = name.as_os_str() == OsStr::new(OPENER);
    if let Some(url) = url.to_str().filter(|_| is_opener) {
        let _ = webbrowser::open(url);
    }
    is_opener
}
