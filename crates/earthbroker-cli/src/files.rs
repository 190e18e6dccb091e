//! Questions about files and folders that several commands ask.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Returns the absolute path in an environment variable. The XDG specification says to ignore relative paths.
pub(crate) fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Whether a path is a program that this user may run.
pub(crate) fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
