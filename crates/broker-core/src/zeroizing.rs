//! Bytes that hold secrets are wiped when they are dropped, and never moved: memory that grows leaves copies behind.

use std::io::{Result, Write};

use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

/// A value as JSON, indented or not, in memory that is as large as it has to be from the start.
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

/// Text in memory of exactly its length; what it took more before is wiped.
pub(crate) fn exact(mut text: String) -> String {
    if text.len() == text.capacity() {
        return text;
    }
    let exact = text.as_str().to_owned();
    text.zeroize();
    exact
}

/// How much would be written.
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
