//! The desktop session's keyring: the Secret Service of freedesktop.org, which the broker calls by D-Bus. The keyring
//! has one item for each state folder, with the folder's key. A locked keyring is an error: the broker shows no prompt.

use std::collections::HashMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::{Error, ErrorCode, Hint, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::connection::Builder;
use zbus::{Connection, OwnedObjectPath, OwnedVariant, Type, Variant};
use zeroize::Zeroizing;

use crate::key::DataKey;
use crate::{KEYRING_TIMEOUT, block_on};

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const ITEM: &str = "org.freedesktop.Secret.Item";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";

/// The attribute of all items that the broker creates in the keyring.
const OURS: (&str, &str) = ("service", "broker");

/// Why a call to the keyring failed.
enum Fault {
    Locked,
    /// The keyring sent no response, or an invalid one.
    Absent(String),
}

impl From<zbus::Error> for Fault {
    fn from(error: zbus::Error) -> Self {
        match &error {
            zbus::Error::MethodError(name, ..) if name.as_str().ends_with(".IsLocked") => Self::Locked,
            other => Self::Absent(other.to_string()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        let (message, action) = match fault {
            Fault::Locked => (
                "the OS keyring is locked".to_owned(),
                "unlock the keyring in the desktop's password manager",
            ),
            Fault::Absent(why) => (
                format!("the OS keyring does not respond: {why}"),
                "run the command in the desktop session that has the keyring",
            ),
        };
        let hint =
            format!("{action}; on a machine without a keyring set store = {{ key = {{ file = \"PATH\" }} }}");
        Error::new(ErrorCode::KeyringUnavailable, message).with_hint(Hint::MigrateRecords(hint))
    }
}

type BusResult<T> = std::result::Result<T, Fault>;

/// Returns the state of the desktop session's keyring, within a few seconds and without a prompt to the user:
/// `unlocked`, `locked`, or `absent` if it does not respond.
pub fn keyring_state() -> &'static str {
    match call(async |bus: Bus| bus.collection().await) {
        Ok(_) => "unlocked",
        Err(Fault::Locked) => "locked",
        Err(Fault::Absent(_)) => "absent",
    }
}

/// Returns the sealing key with this id, even if its state folder was renamed.
pub(crate) fn key_of_id(id: &str) -> Result<Option<DataKey>> {
    find(&[OURS, ("key", id)])
}

/// Returns the key of a state folder.
pub(crate) fn key_of_folder(folder: &Path) -> Result<Option<DataKey>> {
    find(&[OURS, ("username", &canonical(folder))])
}

/// Saves the key of a state folder.
pub(crate) fn save(folder: &Path, key: &DataKey) -> Result<()> {
    let (folder, id) = (canonical(folder), key.id());
    let text = Zeroizing::new(STANDARD.encode(key.bytes.as_slice()));
    let attributes = HashMap::from([OURS, ("username", &folder), ("key", &id)]);
    let label = format!("broker: the key that encrypts the records in {folder}");
    Ok(call(async |bus: Bus| bus.create(&label, attributes.clone(), text.as_bytes()).await)?)
}

/// Deletes the key of a state folder. Returns whether the key existed.
pub(crate) fn delete(folder: &Path) -> Result<bool> {
    let folder = canonical(folder);
    let delete = async |bus: Bus| {
        let items = bus.search(&[OURS, ("username", &folder)]).await?;
        for item in &items {
            let _: OwnedObjectPath = bus.call(item.as_str(), ITEM, "Delete", &()).await?;
        }
        Ok(!items.is_empty())
    };
    Ok(call(delete)?)
}

fn canonical(folder: &Path) -> String {
    let path = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    path.as_deref().unwrap_or(folder).display().to_string()
}

fn find(attributes: &[(&str, &str)]) -> Result<Option<DataKey>> {
    let found = call(async |bus: Bus| {
        match bus.search(attributes).await?.first() {
            Some(item) => bus.secret(item.as_str()).await.map(Some),
            // Fails if the keyring's default collection is locked, because it may contain the broker's key.
            None => bus.collection().await.map(|_| None),
        }
    })?;
    let Some(text) = found else { return Ok(None) };
    let key = std::str::from_utf8(&text).ok().and_then(DataKey::parse);
    key.map(Some).ok_or_else(|| {
        Error::new(ErrorCode::StoreSealed, "the broker's item in the OS keyring is not a key")
            .with_hint("check the item in the desktop's password manager")
    })
}

fn call<T: Send>(work: impl AsyncFnOnce(Bus) -> BusResult<T> + Send) -> BusResult<T> {
    let called = block_on(async || {
        let call = async { work(Bus(Builder::session().build().await?)).await };
        let timed_out = format!("no response within {} s", KEYRING_TIMEOUT.as_secs());
        tokio::time::timeout(KEYRING_TIMEOUT, call).await.unwrap_or(Err(Fault::Absent(timed_out)))
    });
    called.unwrap_or_else(|error| Err(Fault::Absent(error.to_string())))
}

struct Bus(Connection);

/// A secret as D-Bus transfers it: session, parameters, value, content type.
type BusSecret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

impl Bus {
    async fn call<B, T>(&self, path: &str, interface: &str, method: &str, body: &B) -> BusResult<T>
    where
        B: Serialize + Type,
        T: DeserializeOwned + Type,
    {
        let reply = self.0.call_method(Some(NAME), path, Some(interface), method, body).await?;
        Ok(reply.body().deserialize()?)
    }

    /// Returns the keyring's unlocked items with these attributes. Fails if all items with them are locked.
    async fn search(&self, attributes: &[(&str, &str)]) -> BusResult<Vec<OwnedObjectPath>> {
        let attributes: HashMap<&str, &str> = attributes.iter().copied().collect();
        let found = self.call(PATH, SERVICE, "SearchItems", &attributes).await?;
        let (open, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) = found;
        if open.is_empty() && !locked.is_empty() { Err(Fault::Locked) } else { Ok(open) }
    }

    /// Opens an unencrypted session: only processes that may read the secrets anyway can read the D-Bus traffic.
    async fn session(&self) -> BusResult<OwnedObjectPath> {
        let (_, session): (OwnedVariant, OwnedObjectPath) =
            self.call(PATH, SERVICE, "OpenSession", &("plain", Variant::from(""))).await?;
        Ok(session)
    }

    async fn secret(&self, item: &str) -> BusResult<Zeroizing<Vec<u8>>> {
        let session = self.session().await?;
        let ((_, _, value, _),): (BusSecret,) = self.call(item, ITEM, "GetSecret", &(session,)).await?;
        Ok(Zeroizing::new(value))
    }

    /// Returns the default collection, if it is unlocked.
    async fn collection(&self) -> BusResult<OwnedObjectPath> {
        let collection: OwnedObjectPath = self.call(PATH, SERVICE, "ReadAlias", &"default").await?;
        if collection.as_str() == "/" {
            return Err(Fault::Absent("the keyring has no default collection".to_owned()));
        }
        let property = (COLLECTION, "Locked");
        let locked: OwnedVariant =
            self.call(collection.as_str(), "org.freedesktop.DBus.Properties", "Get", &property).await?;
        match bool::try_from(locked) {
            Ok(false) => Ok(collection),
            _ => Err(Fault::Locked),
        }
    }

    async fn create(&self, label: &str, attributes: HashMap<&str, &str>, secret: &[u8]) -> BusResult<()> {
        let collection = self.collection().await?;
        let session = self.session().await?;
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::from(label)),
            ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes)),
        ]);
        let secret = (session, Vec::<u8>::new(), secret, "text/plain");
        let (_, prompt): (OwnedObjectPath, OwnedObjectPath) =
            self.call(collection.as_str(), COLLECTION, "CreateItem", &(properties, secret, true)).await?;
        // The path `/` means that the keyring needs no prompt. A prompt is an error: the user may be absent.
        if prompt.as_str() == "/" { Ok(()) } else { Err(Fault::Locked) }
    }
}
