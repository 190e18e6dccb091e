//! Where no keyring can be asked: a program without the feature, or another system.

use std::path::Path;
use std::time::Duration;

use broker_core::{Error, Result};

use crate::key::DataKey;

/// Nobody is waited for.
pub(crate) const PATIENCE: Duration = Duration::MAX;

/// The keyring of the desktop session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// It answers, and is open.
    Unlocked,
    /// It answers, and is locked.
    Locked,
    /// Nobody answers.
    Absent,
}

impl Keyring {
    /// In which state it is.
    #[must_use]
    pub fn look() -> Self {
        Self::Absent
    }
}

pub(crate) fn key_of_id(_id: &str) -> Result<Option<DataKey>> {
    Err(none())
}

pub(crate) fn key_of_folder(_folder: &Path) -> Result<Option<DataKey>> {
    Err(none())
}

pub(crate) fn keep(_folder: &Path, _key: &DataKey) -> Result<()> {
    Err(none())
}

#[expect(clippy::unnecessary_wraps, reason = "a keyring may not answer")]
pub(crate) fn forget(_folder: &Path) -> Result<bool> {
    Ok(false)
}

pub(crate) fn silent() -> Error {
    none()
}

fn none() -> Error {
    Error::failed("the OS keyring cannot be used: this program was built without the feature `keyring`, or for a system whose keyring it does not know")
        .with_hint("use a program that can, or a key that you keep: store = { key = { file = \"PATH\" } }")
}
