//! Encrypted ("sealed") records and their file format.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::bytes::{file_names, read_bytes};
use crate::error::{Error, ErrorCode, Result};

/// The version number of encrypted record files. A broker without encryption reports such a file as too new.
pub(crate) const SEALED_FORMAT: u64 = 2;

/// Encrypts and decrypts the record files of a store.
pub trait Sealer: Send + Sync + Debug {
    /// Returns the encryption method for new logins; `None` if records are stored as plain text.
    fn configured(&self) -> Option<&str>;

    /// Checks that records can be encrypted with the method `with`, and that the key can be read again. The broker
    /// calls this method before every exchange and login.
    fn probe(&self, with: &str, provider: &str) -> Result<()>;

    /// Encrypts a record with the key from [`Sealer::probe`], because a save must not ask the user for a passphrase.
    fn seal(&self, with: &str, provider: &str, record: &[u8]) -> Result<Envelope>;

    /// Decrypts a record; `None` if the file is damaged. Fails if the key is missing or wrong, because the record may
    /// be intact.
    fn open(&self, envelope: &Envelope) -> Result<Option<Zeroizing<Vec<u8>>>>;
}

/// The content of an encrypted record file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    version: u64,
    /// The provider whose record is encrypted.
    pub provider: String,
    /// The encryption method, which says where the key comes from.
    pub with: String,
    /// A fingerprint of the encryption key.
    pub key: String,
    /// The key derivation parameters, if the key comes from a passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kdf: Option<Value>,
    /// The encryption nonce, in base64.
    pub nonce: String,
    /// The encrypted record as base64 text.
    pub sealed: String,
    /// The path of the file that this content was read from; empty for new content.
    #[serde(skip)]
    pub file: PathBuf,
}

impl Envelope {
    /// Creates the content of an encrypted record file, except the nonce and the encrypted record, which are empty.
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

    /// Returns the unencrypted fields as associated data, which the encryption authenticates to prevent swapped files.
    #[must_use]
    pub fn bound(&self) -> Vec<u8> {
        let kdf = self.kdf.as_ref().map(Value::to_string).unwrap_or_default();
        let version = self.version.to_string();
        ["broker record", &version, &self.provider, &self.with, &self.key, &kdf].join("\0").into_bytes()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|envelope| envelope.version == SEALED_FORMAT)
    }

    /// Reads an encrypted record from a file; `None` if the file contains something else.
    #[must_use]
    pub fn of_file(file: &Path) -> Option<Self> {
        Self::read_file(file).ok().flatten()
    }

    pub(super) fn at(self, file: &Path) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    pub(super) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let bytes = serde_json::to_vec_pretty(self).map_err(not_json)?;
        Ok(Zeroizing::new(bytes))
    }

    /// Iterates over the encrypted records in a folder, including quarantined ones. Reads each file when needed. An
    /// error means that a file, which may be an encrypted record, cannot be read.
    pub fn all_in(folder: &Path) -> impl Iterator<Item = Result<Self>> {
        let is_record = |name: &String| {
            Path::new(name).extension() == Some("json".as_ref()) || name.contains(".json.aside-")
        };
        let (names, fault) = match file_names(folder) {
            Ok(names) => (names, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let files = names.into_iter().filter(is_record).map(|name| folder.join(name));
        let read = files.filter_map(|file| Self::read_file(&file).transpose());
        fault.map(Err).into_iter().chain(read)
    }

    fn read_file(file: &Path) -> Result<Option<Self>> {
        let bytes = read_bytes(file)?;
        Ok(bytes.and_then(|bytes| Some(Self::read(&bytes)?.at(file))))
    }
}

/// Returns the error for an encrypted record in a program without encryption support.
pub(super) fn no_sealer(with: &str) -> Error {
    let message = format!(
        "the record is encrypted ({with}), and this program was built without support for encrypted records"
    );
    Error::new(ErrorCode::StoreSealed, message)
        .with_hint("build the program with the Cargo feature `sealed` or `keyring`")
}

pub(super) fn not_json(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::Internal, "cannot serialize the record as JSON").with_source(error)
}
