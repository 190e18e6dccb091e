//! Replaces the keyring in programs without the feature `keyring`, and on systems other than Linux.

use std::path::Path;
use std::time::Duration;

use broker_core::{Error, ErrorCode, Result};

use crate::key::DataKey;

/// The keyring is never called, so no call times out.
pub(crate) const TIMEOUT: Duration = Duration::MAX;

/// The state of the desktop session's keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// The keyring is open.
    Unlocked,
    /// The keyring is locked.
    Locked,
    /// The keyring does not respond.
    Absent,
}

impl Keyring {
    /// Returns the state of the keyring.
    #[must_use]
    pub fn state() -> Self {
        Self::Absent
    }
}

pub(crate) fn key_of_id(_id: &str) -> Result<Option<DataKey>> {
    Err(unsupported())
}

pub(crate) fn key_of_folder(_folder: &Path) -> Result<Option<DataKey>> {
    Err(unsupported())
}

pub(crate) fn save(_folder: &Path, _key: &DataKey) -> Result<()> {
    Err(unsupported())
}

#[expect(clippy::unnecessary_wraps, reason = "same signature as with a keyring")]
pub(crate) fn delete(_folder: &Path) -> Result<bool> {
    Ok(false)
}

pub(crate) fn timed_out() -> Error {
    unsupported()
}

fn unsupported() -> Error {
    let message = "this program does not support the OS keyring: \
                   the program was built without the feature `keyring`, or not for Linux";
    Error::new(ErrorCode::KeyringUnavailable, message)
        .with_hint("use a program with that feature, or a key file: store = { key = { file = \"PATH\" } }")
}
