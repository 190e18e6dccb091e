//! A person in an account without any rights: root is above modes and above what a process keeps to itself.

use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use broker_e2e::Sandbox;

/// An account that nobody has.
const NOBODY: u32 = 61_234;

/// Who runs a command: another account if this one is root, else this one.
pub(crate) struct User(Option<u32>);

impl User {
    /// A person whose sandbox this is.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        let user = Self(rustix::process::geteuid().is_root().then_some(NOBODY));
        user.owns(sandbox.home().parent().expect("the sandbox"));
        user
    }

    /// Whether it is another account than this one.
    pub(crate) fn is_another(&self) -> bool {
        self.0.is_some()
    }

    /// Has them run a command.
    pub(crate) fn runs(&self, command: &mut Command) {
        if let Some(id) = self.0 {
            command.uid(id).gid(id);
        }
    }

    /// Gives them a file, or a folder with all that is in it.
    pub(crate) fn owns(&self, path: &Path) {
        let Some(id) = self.0 else { return };
        lchown(path, Some(id), Some(id)).expect("it is given away");
        if path.is_dir() && !path.is_symlink() {
            for entry in std::fs::read_dir(path).expect("a folder") {
                self.owns(&entry.expect("an entry").path());
            }
        }
    }
}
