//! Encrypted ("sealed") records and their file format.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Result};
use crate::record::{Record, StorageFormat};
use crate::store::Loaded;
use crate::store::file::bytes::{LONGEST_FILE, file_names, read_bytes};
use crate::store::file::plain::{self, SEALED_FORMAT};

/// Converts records to the content of files and back. Adds encryption to [`plain`] content, if there is a sealer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sealing(Option<Arc<dyn Sealer>>);

impl Sealing {
    pub(crate) fn new(sealer: Arc<dyn Sealer>) -> Self {
        Self(Some(sealer))
    }

    /// Returns the storage format of new logins.
    pub(crate) fn configured(&self) -> StorageFormat {
        let method = self.0.as_deref().and_then(Sealer::configured);
        method.map_or(StorageFormat::Plain, |method| StorageFormat::Sealed(method.to_owned()))
    }

    /// Returns the encryption method for a save; `None` for plain text. Only a new login changes the record's method.
    fn method(&self, record: &Record) -> Option<String> {
        match record.0.format.clone().filter(|_| !record.0.new_login).unwrap_or_else(|| self.configured()) {
            StorageFormat::Plain => None,
            StorageFormat::Sealed(method) => Some(method),
        }
    }

    fn sealer(&self, method: &str) -> Result<&Arc<dyn Sealer>> {
        self.0.as_ref().ok_or_else(|| {
            let message = format!(
                "the record is encrypted ({method}), and this program was built without support for encrypted records"
            );
            Error::new(ErrorCode::StoreSealed, message)
                .with_hint("build the program with the Cargo feature `sealed` or `keyring`")
        })
    }

    /// Returns a check that the record can be encrypted, which may wait for the key; `None` for plain text.
    pub(crate) fn probe(
        &self,
        record: &Record,
        provider: &str,
    ) -> Option<impl FnOnce() -> Result<()> + Send + use<>> {
        let (method, sealer, provider) = (self.method(record)?, self.0.clone()?, provider.to_owned());
        Some(move || sealer.probe(&method, &provider))
    }

    /// Returns the content of the record's file.
    pub(crate) fn encode(&self, record: &Record, provider: &str) -> Result<Zeroizing<Vec<u8>>> {
        let plain = plain::encode(record, provider)?;
        let Some(method) = self.method(record) else { return Ok(plain) };
        let envelope = self.sealer(&method)?.seal(&method, provider, &plain)?;
        serde_json::to_vec_pretty(&envelope).map(Zeroizing::new).map_err(plain::not_json)
    }

    /// Reads a record file. If the key of an encrypted record is not in memory, waits for the key, or returns `None`.
    pub(crate) fn read(&self, path: &Path, provider: &str, may_wait: bool) -> Result<Option<Loaded>> {
        let Some(bytes) = read_bytes(path)? else { return Ok(Some(Loaded::Nothing)) };
        let why = match plain::parse(&bytes, provider) {
            Ok(record) => return Ok(Some(loaded(record, StorageFormat::Plain))),
            Err(why) => why,
        };
        let is_ours = |read: &Envelope| read.provider == provider && bytes.len() as u64 <= LONGEST_FILE;
        let Some(envelope) = Envelope::read(&bytes).filter(is_ours).map(|envelope| envelope.at(path)) else {
            return Ok(Some(unreadable(path, &why)));
        };
        let sealer = self.sealer(&envelope.with)?;
        let plain = if may_wait { sealer.open(&envelope)? } else { sealer.peek(&envelope) };
        Ok(match plain.map(|plain| plain::parse(&plain, provider)) {
            Some(Ok(record)) => Some(loaded(record, StorageFormat::Sealed(envelope.with))),
            Some(Err(why)) => Some(unreadable(path, &why)),
            None if may_wait => {
                Some(unreadable(path, "is damaged: the record's key does not decrypt the file"))
            }
            None => None,
        })
    }
}

fn loaded(mut record: Record, format: StorageFormat) -> Loaded {
    record.0.format = Some(format);
    Loaded::Record(Box::new(record))
}

fn unreadable(path: &Path, why: &str) -> Loaded {
    Loaded::Unreadable(format!("{} {why}", path.display()))
}

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
    /// be intact. May wait for the key, such as for a keyring or a passphrase.
    fn open(&self, envelope: &Envelope) -> Result<Option<Zeroizing<Vec<u8>>>>;

    /// Decrypts a record without waiting; `None` if [`Sealer::open`] must get the key first, or fails.
    fn peek(&self, envelope: &Envelope) -> Option<Zeroizing<Vec<u8>>>;
}

/// The content of an encrypted record file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
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
        let [provider, with, key] = [provider, with, key].map(str::to_owned);
        let (nonce, sealed, file) = Default::default();
        Self { version: SEALED_FORMAT, provider, with, key, kdf, nonce, sealed, file }
    }

    /// Returns the unencrypted fields as associated data, which the encryption authenticates to prevent swapped files.
    pub fn bound(&self) -> Vec<u8> {
        let kdf = self.kdf.as_ref().map(Value::to_string).unwrap_or_default();
        let version = self.version.to_string();
        ["broker record", &version, &self.provider, &self.with, &self.key, &kdf].join("\0").into_bytes()
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(bytes).ok().filter(|envelope| envelope.version == SEALED_FORMAT)
    }

    /// Reads an encrypted record from a file; `None` if the file contains something else.
    pub fn of_file(file: &Path) -> Option<Self> {
        Self::read_file(file).ok().flatten()
    }

    fn at(self, file: &Path) -> Self {
        Self { file: file.to_owned(), ..self }
    }

    /// Iterates over the encrypted records in a folder, including quarantined ones. Reads each file when needed. An
    /// error means that a file, which may be an encrypted record, cannot be read.
    pub fn all_in(folder: &Path) -> Result<impl Iterator<Item = Result<Self>>> {
        let is_record = |name: &String| {
            Path::new(name).extension() == Some("json".as_ref()) || name.contains(".json.aside-")
        };
        let files = file_names(folder)?.into_iter().filter(is_record).map(|name| folder.join(name));
        Ok(files.filter_map(|file| Self::read_file(&file).transpose()))
    }

    fn read_file(file: &Path) -> Result<Option<Self>> {
        let bytes = read_bytes(file)?;
        Ok(bytes.and_then(|bytes| Some(Self::read(&bytes)?.at(file))))
    }
}
