//! Runs commands as an unprivileged user, because root ignores file modes and process protection.

use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use broker_e2e::Sandbox;

use crate::stage::{copy_broker, program};

/// A user id that no account has.
const UNPRIVILEGED: u32 = 61_234;

/// The user that runs commands: an unprivileged user if the test runs as root, else the current user (`None`).
pub(crate) struct User(Option<u32>);

impl User {
    /// Copies the `broker` program into a sandbox, chooses a user, and makes that user the owner of the sandbox.
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        copy_broker(sandbox);
        let user = Self(rustix::process::geteuid().is_root().then_some(UNPRIVILEGED));
        user.owns(sandbox.home().parent().expect("the sandbox"));
        user
    }

    pub(crate) fn is_another(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the command `broker`, run by this user.
    pub(crate) fn broker(&self, sandbox: &Sandbox, words: &[&str]) -> Command {
        let mut command = program(sandbox, sandbox.home().join("broker").to_str().expect("text"), words);
        self.runs(&mut command);
        command
    }

    /// Makes a command run as this user.
    pub(crate) fn runs(&self, command: &mut Command) {
        if let Some(id) = self.0 {
            command.uid(id).gid(id);
        }
    }

    /// Makes the user the owner of a file, or of a folder with its content.
    pub(crate) fn owns(&self, path: &Path) {
        let Some(id) = self.0 else { return };
        lchown(path, Some(id), Some(id)).expect("the owner changes");
        if path.is_dir() && !path.is_symlink() {
            for entry in std::fs::read_dir(path).expect("a folder") {
                self.owns(&entry.expect("an entry").path());
            }
        }
    }
}
