//! Opens a page in a separate process, whose environment has no secrets that the browser could inherit.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// With this name as `argv[0]`, this program only opens a page in the browser.
const OPENER: &str = "broker-open-page";

/// Opens a page in the background. The browser does not get the environment variables in `without`.
pub(super) fn open(url: &str, without: &[String]) {
    // On Linux, this path stays valid after an upgrade replaces the program's file.
    let linux = Path::new("/proc/self/exe").to_owned();
    let program = if cfg!(target_os = "linux") { Ok(linux) } else { std::env::current_exe() };
    let Ok(program) = program else { return };
    let mut command = Command::new(program);
    command.arg0(OPENER).arg(url);
    for name in without {
        command.env_remove(name);
    }
    // If the browser cannot be started, the user can open the printed address.
    let Ok(mut opener) = command.spawn() else { return };
    std::thread::spawn(move || opener.wait());
}

/// If [`open`] started this process, opens the URL from the arguments and returns true.
pub(crate) fn open_page(words: &[OsString]) -> bool {
    let [name, url] = words else { return false };
    let is_opener = name.as_os_str() == OsStr::new(OPENER);
    if let Some(url) = url.to_str().filter(|_| is_opener) {
        let _ = webbrowser::open(url);
    }
    is_opener
}
