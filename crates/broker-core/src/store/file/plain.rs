//! The content of record files without encryption.

use serde_json::Value;
use zeroize::Zeroizing;

use super::bytes::LONGEST_RECORD;
use crate::error::{Error, ErrorCode, Result};
use crate::record::{FORMAT, Record};

/// The version number of encrypted record files. A broker without encryption reports such a file as too new.
pub(crate) const SEALED_FORMAT: u64 = 2;

/// Returns the content of a record file. Fails if the content cannot be read again, such as metadata that is nested too
/// deeply.
pub(crate) fn encode(record: &Record, provider: &str) -> Result<Zeroizing<Vec<u8>>> {
    let plain = record.to_json().map_err(not_json)?;
    parse(&plain, provider).map_err(|why| {
        let message = format!("cannot save the record, because it could not be read again: it {why}");
        Error::new(ErrorCode::StoreUnwritable, message)
            .with_hint("the service or plugin returned data that is too long, or nested too deeply")
    })?;
    Ok(plain)
}

/// Parses the content of a record file. The error says why it is unreadable, after the file's path.
pub(crate) fn parse(bytes: &[u8], provider: &str) -> Result<Record, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    if bytes.len() as u64 > LONGEST_RECORD {
        return Err("is larger than 16 MiB".to_owned());
    }
    let unreadable = match serde_json::from_slice::<Record>(bytes) {
        Ok(record) if (record.0.version, &*record.0.provider) == (FORMAT, provider) => return Ok(record),
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

pub(crate) fn not_json(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::Internal, "cannot serialize the record as JSON").with_source(error)
}
