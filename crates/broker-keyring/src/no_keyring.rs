//! Replaces the module `keyring` in programs without the feature `keyring`, and on systems other than Linux.

use std::path::Path;

use broker_core::{Error, ErrorCode, Result};

use crate::key::DataKey;

/// Returns `absent`: this program does not support the desktop session's keyring.
pub fn keyring_state() -> &'static str {
    "absent"
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

#[expect(clippy::unnecessary_wraps, reason = "`keyring::delete`, which this function replaces, can fail")]
pub(crate) fn delete(_folder: &Path) -> Result<bool> {
    Ok(false)
}

fn unsupported() -> Error {
    let message = "this program does not support the OS keyring: \
                   the program was built without the feature `keyring`, or not for Linux";
    Error::new(ErrorCode::KeyringUnavailable, message)
        .with_hint("use a program with keyring support, or a key file: store = { key = { file = \"PATH\" } }")
}
