//! Reads secret text from a file or a command's output.

use std::io::{Error, ErrorKind, Result};

use crate::Secret;

pub(crate) const LONGEST_SECRET: u64 = 64 * 1024;

/// Returns the text without trailing line ends. Fails if the text is empty or too long.
pub(crate) fn secret_of(text: &str) -> Result<Secret> {
    if text.len() as u64 > LONGEST_SECRET {
        return Err(Error::new(ErrorKind::InvalidData, "the secret is longer than 64 KiB"));
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, "the secret is empty"));
    }
    Ok(Secret::new(text))
}
