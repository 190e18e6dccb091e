//! Reading a record file, and what is said if that, or writing it, fails.

use std::io::{ErrorKind as IoErrorKind, Read};
use std::path::Path;

use serde_json::Value;
use zeroize::Zeroizing;

use super::sealed::{Envelope, SEALED_FORMAT, Sealer, open};
use crate::platform;
use crate::record::FORMAT;
use crate::{Error, Loaded, Record, Result};

/// More than any record: a bigger file is something else.
pub(super) const LONGEST_RECORD: u64 = 16 * 1024 * 1024;

/// The same, sealed: base64 makes four bytes of three.
pub(super) const LONGEST_FILE: u64 = LONGEST_RECORD / 3 * 4 + 64 * 1024;

/// What temporary files end with.
pub(super) const SUFFIX: &str = ".tmp";

/// What was read, and in which way it is sealed.
pub(super) struct Found {
    pub(super) loaded: Loaded,
    /// None if it is plain text, or no record.
    pub(super) with: Option<String>,
}

impl Found {
    fn open(loaded: Loaded) -> Self {
        Self { loaded, with: None }
    }
}

pub(super) fn read(path: &Path, provider: &str, sealer: Option<&dyn Sealer>) -> Result<Found> {
    let Some(bytes) = read_bytes(path)? else { return Ok(Found::open(Loaded::Nothing)) };
    let unreadable = |why: String| Found::open(Loaded::Unreadable(format!("{} {why}", path.display())));
    let why = match parse(&bytes, provider) {
        Ok(record) => return Ok(Found::open(Loaded::Record(Box::new(record)))),
        Err(why) => why,
    };
    let envelope = Envelope::read(&bytes).filter(|envelope| envelope.provider == provider);
    let Some(envelope) = envelope.filter(|_| bytes.len() as u64 <= LONGEST_FILE) else {
        return Ok(unreadable(why));
    };
    let envelope = envelope.at(path);
    let Some(plain) = open(&envelope, sealer)? else {
        return Ok(unreadable("is damaged: its own key does not open it".to_owned()));
    };
    Ok(match parse(&plain, provider) {
        Ok(record) => Found { loaded: Loaded::Record(Box::new(record)), with: Some(envelope.with) },
        Err(why) => unreadable(why),
    })
}

/// A file of the user's own, without following links; one byte more than the longest, if it is longer.
pub(super) fn read_bytes(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match platform::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", path, error)),
    };
    let meta = file.metadata().map_err(|error| cannot("read", path, error))?;
    if !meta.is_file() || !platform::is_own(&meta) {
        return Err(Error::failed(format!("{} is not a file of yours: it is not used", path.display()))
            .with_hint("move it away"));
    }
    // With room for all of it, it is read at once.
    let size = usize::try_from(meta.len().min(LONGEST_FILE)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size));
    file.take(LONGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| cannot("read", path, error))?;
    Ok(Some(bytes))
}

fn parse(bytes: &[u8], provider: &str) -> Result<Record, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    if bytes.len() as u64 > LONGEST_RECORD {
        return Err("is larger than any record".to_owned());
    }
    let unreadable = match serde_json::from_slice::<Record>(bytes) {
        Ok(record) if record.version() == FORMAT && record.provider() == provider => return Ok(record),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let value = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    Err(match (value.get("version").and_then(Value::as_u64), value.get("provider").and_then(Value::as_str)) {
        (Some(version), _) if version > SEALED_FORMAT => {
            format!(
                "was written by a newer broker (format {version}, this one reads {FORMAT} and {SEALED_FORMAT})"
            )
        }
        (Some(FORMAT | SEALED_FORMAT), Some(name)) if name != provider => {
            format!("is the record of `{name}`")
        }
        _ => match unreadable {
            Some(error) if error.is_eof() => "ends in the middle".to_owned(),
            _ => "is not a record of the broker".to_owned(),
        },
    })
}

pub(super) fn cannot(what: &str, path: &Path, error: std::io::Error) -> Error {
    let why = if platform::is_link(&error) {
        "it is a symbolic link, which is not followed".to_owned()
    } else {
        error.to_string()
    };
    Error::failed(format!("cannot {what} {}: {why}", path.display()))
        .with_hint("--state-dir or BROKER_STATE_DIR names another folder for what the broker holds")
        .with_source(error)
}
