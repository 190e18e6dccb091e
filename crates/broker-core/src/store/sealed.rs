//! Records that are sealed on their way to the disk: who seals them, and what then stands in the file.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::bytes::read_bytes;
use crate::{Error, Result};

/// The format of the file of a sealed record. One sequence with that of plain ones: a version that reads no sealed
/// ones says that a newer one wrote them.
pub(crate) const SEALED_FORMAT: u64 = 2;

/// Seals records, and opens them: a file store has one, if it is given one.
pub trait Sealer: Send + Sync + Debug {
    /// The way in which new logins are written; none if they stay plain text.
    fn configured(&self) -> Option<&str>;

    /// Makes sure that the record of a provider can be sealed this way, by a key that can be had again. Called before
    /// every exchange and before a login, under the lock of the record.
    fn probe(&self, with: &str, provider: &str) -> Result<()>;

    /// Seals the record of a provider, with the key that was found when that was probed: between an exchange and its
    /// save nobody is asked for one.
    fn seal(&self, with: &str, provider: &str, record: &[u8]) -> Result<Envelope>;

    /// Opens a record; `None` if it is damaged. That its key cannot be had, or is another, is an error: the record is
    /// whole, and must not be taken for one that is not.
    fn open(&self, envelope: &Envelope) -> Result<Option<Zeroizing<Vec<u8>>>>;
}

/// The file of a sealed record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    version: u64,
    /// The provider whose record it is.
    pub provider: String,
    /// In which way it is sealed: what has its key.
    pub with: String,
    /// Which key sealed it: a mark that tells keys apart.
    pub key: String,
    /// How the key is made of a passphrase, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kdf: Option<Value>,
    /// The nonce, in base64.
    pub nonce: String,
    /// The sealed record, in base64.
    pub sealed: String,
    /// The file that it was read from; of a new one none.
    #[serde(skip)]
    pub file: PathBuf,
}

impl Envelope {
    /// An envelope of this version's format, with nothing in it.
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

    /// What stands open in it and must be what it was when it is opened: so no file can stand in for another.
    #[must_use]
    pub fn bound(&self) -> Vec<u8> {
        let kdf = self.kdf.as_ref().map(Value::to_string).unwrap_or_default();
        let version = self.version.to_string();
        ["broker record", &version, &self.provider, &self.with, &self.key, &kdf].join("\0").into_bytes()
    }

    /// The envelope in a file's bytes, if it is one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|envelope| envelope.version == SEALED_FORMAT)
    }

    /// The envelope in a file, if one is there.
    #[must_use]
    pub fn of_file(file: &Path) -> Option<Self> {
        Some(Self::read(&read_bytes(file).ok().flatten()?)?.at(file))
    }

    /// The same, as read from this file.
    pub(super) fn at(self, file: &Path) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    pub(super) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::failed("the record cannot be written as JSON").with_source(error))?;
        Ok(Zeroizing::new(bytes))
    }

    /// The sealed records in a folder, those among them that were put aside, by the names of their files. Each is read
    /// when it is asked for.
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

/// Opens an envelope, with whoever can; `None` if it is damaged.
pub(super) fn open(envelope: &Envelope, sealer: Option<&dyn Sealer>) -> Result<Option<Zeroizing<Vec<u8>>>> {
    match sealer {
        Some(sealer) => sealer.open(envelope),
        None => Err(cannot_seal(&envelope.with)),
    }
}

/// Nobody here seals records.
pub(super) fn cannot_seal(with: &str) -> Error {
    Error::failed(format!("the record is sealed ({with}), and this program was built without what opens it"))
        .with_hint(
            "build it with the feature `sealed` or `keyring`, or use one that has it: broker store status",
        )
}
