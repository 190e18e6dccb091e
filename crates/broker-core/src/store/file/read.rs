//! Reads and parses the record files of a store.

use std::path::Path;

use serde_json::Value;

use super::bytes::{LONGEST_FILE, LONGEST_RECORD, read_bytes};
use super::sealed::{Envelope, SEALED_FORMAT, Sealer, no_sealer};
use crate::error::Result;
use crate::record::FORMAT;
use crate::record::Record;
use crate::store::Loaded;

pub(super) struct Found {
    pub(super) loaded: Loaded,
    /// The encryption method of the record file; `None` if the file is plain text.
    pub(super) sealed_with: Option<String>,
}

impl Found {
    fn plain(loaded: Loaded) -> Self {
        Self { loaded, sealed_with: None }
    }
}

pub(super) fn read(path: &Path, provider: &str, sealer: Option<&dyn Sealer>) -> Result<Found> {
    let Some(bytes) = read_bytes(path)? else { return Ok(Found::plain(Loaded::Nothing)) };
    let unreadable = |why: String| Found::plain(Loaded::Unreadable(format!("{} {why}", path.display())));
    let why = match parse(&bytes, provider) {
        Ok(record) => return Ok(Found::plain(Loaded::Record(Box::new(record)))),
        Err(why) => why,
    };
    let is_ours = |read: &Envelope| read.provider == provider && bytes.len() as u64 <= LONGEST_FILE;
    let Some(envelope) = Envelope::read(&bytes).filter(is_ours) else { return Ok(unreadable(why)) };
    let envelope = envelope.at(path);
    let Some(plain) = sealer.ok_or_else(|| no_sealer(&envelope.with))?.open(&envelope)? else {
        return Ok(unreadable("is damaged: the record's key does not decrypt the file".to_owned()));
    };
    Ok(match parse(&plain, provider) {
        Ok(record) => Found { loaded: Loaded::Record(Box::new(record)), sealed_with: Some(envelope.with) },
        Err(why) => unreadable(why),
    })
}

pub(super) fn parse(bytes: &[u8], provider: &str) -> Result<Record, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    if bytes.len() as u64 > LONGEST_RECORD {
        return Err("is larger than 16 MiB".to_owned());
    }
    let unreadable = match serde_json::from_slice::<Record>(bytes) {
        Ok(record) if record.version == FORMAT && record.provider == provider => return Ok(record),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let value = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    Err(match (value.get("version").and_then(Value::as_u64), value.get("provider").and_then(Value::as_str)) {
        (Some(version), _) if version > SEALED_FORMAT => {
            format!(
                "has the newer record format {version}, but this version reads only {FORMAT} and {SEALED_FORMAT}"
            )
        }
        (Some(FORMAT | SEALED_FORMAT), Some(name)) if name != provider => {
            format!("is the record of provider `{name}`, not of `{provider}`")
        }
        _ => match unreadable {
            Some(error) if error.is_eof() => "is incomplete".to_owned(),
            _ => "is not a record".to_owned(),
        },
    })
}
