//! The text of a secret that a file or a command gives.

use std::io::{Error, ErrorKind, Result};

use crate::Secret;

/// The longest secret a file or a command may give.
pub(crate) const LONGEST_SECRET: u64 = 64 * 1024;

/// The text without the line ends after it, where it may be a secret.
pub(crate) fn secret_of(text: &str) -> Result<Secret> {
    if text.len() as u64 > LONGEST_SECRET {
        return Err(Error::new(ErrorKind::InvalidData, "more than 64 KiB is no secret"));
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, "it is empty"));
    }
    Ok(Secret::new(text))
}
