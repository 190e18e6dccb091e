//! Buffers for secrets: zeroized when dropped and never reallocated, because reallocation leaves copies in memory.

use std::io::{Result, Write};

use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

/// Serializes a value as JSON into a buffer of exactly the needed size.
pub(crate) fn json(value: &impl Serialize, indented: bool) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let mut length = Length(0);
    write(&mut length, value, indented)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.0));
    write(&mut *bytes, value, indented)?;
    Ok(bytes)
}

fn write(to: impl Write, value: &impl Serialize, indented: bool) -> serde_json::Result<()> {
    if indented { serde_json::to_writer_pretty(to, value) } else { serde_json::to_writer(to, value) }
}

/// Copies text into memory of exactly the needed size, and zeroizes the original memory.
pub(crate) fn exact(mut text: String) -> String {
    if text.len() == text.capacity() {
        return text;
    }
    let exact = text.as_str().to_owned();
    text.zeroize();
    exact
}

/// A writer that only counts bytes.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
