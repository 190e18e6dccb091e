//! Sealed (encrypted) records and their file format.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::bytes::read_bytes;
use crate::{Error, ErrorCode, Result};

/// The format number of sealed record files. It continues the numbers of plain records: a version without sealing
/// reports that a newer version wrote the file.
pub(crate) const SEALED_FORMAT: u64 = 2;

/// Encrypts and decrypts the records of a file store.
pub trait Sealer: Send + Sync + Debug {
    /// How new logins are sealed; `None` for plain text.
    fn configured(&self) -> Option<&str>;

    /// Checks that a record can be sealed this way, with a key that can be read again. It is called under the record's
    /// lock, before every exchange and login.
    fn probe(&self, with: &str, provider: &str) -> Result<()>;

    /// Seals a record with the key from [`Sealer::probe`]: between an exchange and its save the user is not asked.
    fn seal(&self, with: &str, provider: &str, record: &[u8]) -> Result<Envelope>;

    /// Decrypts a record; `None` if it is damaged. A missing or different key is an error, because the record is intact.
    fn open(&self, envelope: &Envelope) -> Result<Option<Zeroizing<Vec<u8>>>>;
}

/// The file of a sealed record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    version: u64,
    /// The provider of the record.
    pub provider: String,
    /// How it is sealed: the source of the key.
    pub with: String,
    /// A fingerprint of the key.
    pub key: String,
    /// How the key is derived from a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kdf: Option<Value>,
    /// The nonce, in base64.
    pub nonce: String,
    /// The sealed record, in base64.
    pub sealed: String,
    /// The file that it was read from; empty for a new one.
    #[serde(skip)]
    pub file: PathBuf,
}

impl Envelope {
    /// Creates an empty envelope.
    #[must_use]
    pub fn new(provider: &str, with: &str, key: &str, kdf: Option<Value>) -> Self {
        Self {
            version: SEALED_FORMAT,
            provider: provider.to_owned(),
            with: with.to_owned(),
            key: key.to_owned(),
            kdf,
            nonce: String::new(),
            sealed: String::new(),
            file: PathBuf::new(),
        }
    }

    /// The unencrypted fields, authenticated with the record so that one file cannot replace another.
    #[must_use]
    pub fn bound(&self) -> Vec<u8> {
        let kdf = self.kdf.as_ref().map(Value::to_string).unwrap_or_default();
        let version = self.version.to_string();
        ["broker record", &version, &self.provider, &self.with, &self.key, &kdf].join("\0").into_bytes()
    }

    /// Parses an envelope.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|envelope| envelope.version == SEALED_FORMAT)
    }

    /// Reads the envelope in a file.
    #[must_use]
    pub fn of_file(file: &Path) -> Option<Self> {
        Some(Self::read(&read_bytes(file).ok().flatten()?)?.at(file))
    }

    /// Sets the file that it was read from.
    pub(super) fn at(self, file: &Path) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    pub(super) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let bytes = serde_json::to_vec_pretty(self).map_err(not_json)?;
        Ok(Zeroizing::new(bytes))
    }

    /// Iterates over the sealed records in a folder, including quarantined ones, by file name. Each is read when needed.
    pub fn all_in(folder: &Path) -> impl Iterator<Item = Self> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.retain(|name| {
            Path::new(name).extension() == Some("json".as_ref()) || name.contains(".json.aside-")
        });
        names.sort();
        names.into_iter().filter_map(|name| Self::of_file(&folder.join(name)))
    }
}

/// Decrypts an envelope; `None` if it is damaged.
pub(super) fn open(envelope: &Envelope, sealer: Option<&dyn Sealer>) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match sealer {
        Some(sealer) => sealer.open(envelope),
        None => Err(no_sealer(&envelope.with)),
    }
}

/// Returns the error for a sealed record in a program without a sealer.
pub(super) fn no_sealer(with: &str) -> Error {
    Error::new(
        ErrorCode::StoreSealed,
        format!("the record is sealed ({with}), and this program was built without support for that"),
    )
    .with_hint("build the program with the feature `sealed` or `keyring`")
}

/// Returns the error for a record that cannot be serialized.
pub(super) fn not_json(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::Internal, "cannot serialize the record as JSON").with_source(error)
}
