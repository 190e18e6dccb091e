//! The keyring of the desktop session: the Secret Service of freedesktop.org, by D-Bus. It keeps one small item a
//! folder. Nobody is ever prompted: what is locked is said to be locked.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use broker_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::connection::Builder;
use zbus::{Connection, ObjectPath, OwnedObjectPath, OwnedVariant, Type, Variant};
use zeroize::Zeroizing;

use crate::key::DataKey;

/// How long it may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

const NAME: &str = "org.freedesktop.secrets";
const SERVICE: &str = "/org/freedesktop/secrets";

/// What our items are found by, beside the folder or the key.
const OURS: (&str, &str) = ("service", "broker");

/// The keyring of the desktop session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyring {
    /// It answers, and is open.
    Unlocked,
    /// It answers, and is locked.
    Locked,
    /// Nobody answers.
    Absent,
}

/// Why nothing was had.
enum Fault {
    Locked,
    /// Nobody answers, or not as the specification says: why.
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
        match fault {
            Fault::Locked => Error::failed("the OS keyring is locked: the key of the records is in it").with_hint(
                "unlock it (log in to the desktop, or use its password manager) and try again; on a machine without \
                 a desktop keep the key yourself: store = { key = { file = \"PATH\" } }, then: broker store migrate",
            ),
            Fault::Absent(why) => Error::failed(format!("the OS keyring does not answer: {why}")).with_hint(
                "run this in the desktop session whose keyring it is; on a machine without one keep the key \
                 yourself: store = { key = { file = \"PATH\" } }, then: broker store migrate",
            ),
        }
    }
}

type Came<T> = std::result::Result<T, Fault>;

impl Keyring {
    /// In which state it is. This prompts nobody, and takes a few seconds at most.
    #[must_use]
    pub fn look() -> Self {
        match ask(async |bus: Bus| bus.collection().await.map(drop)) {
            Ok(()) => Self::Unlocked,
            Err(Fault::Locked) => Self::Locked,
            Err(Fault::Absent(_)) => Self::Absent,
        }
    }
}

fn too_long() -> Fault {
    Fault::Absent(format!("no answer within {} s", PATIENCE.as_secs()))
}

/// What is said of one that did not answer a moment ago.
pub(crate) fn silent() -> Error {
    too_long().into()
}

/// The key with this mark, whatever the folder was called when it was kept.
pub(crate) fn key_of_id(id: &str) -> Result<Option<DataKey>> {
    find(&[OURS, ("key", id)])
}

/// The key that was kept for a folder.
pub(crate) fn key_of_folder(folder: &Path) -> Result<Option<DataKey>> {
    find(&[OURS, ("username", &spelled(folder))])
}

/// Keeps the key of a folder.
pub(crate) fn keep(folder: &Path, key: &DataKey) -> Result<()> {
    let (folder, id, text) = (spelled(folder), key.id(), key.text());
    let attributes = HashMap::from([OURS, ("username", &folder), ("key", &id)]);
    let label = format!("broker: the key of the records in {folder}");
    Ok(ask(async |bus: Bus| bus.create(&label, attributes.clone(), text.as_bytes()).await)?)
}

/// Takes a folder's key out; says whether one was there.
pub(crate) fn forget(folder: &Path) -> Result<bool> {
    let folder = spelled(folder);
    let forget = async |bus: Bus| {
        let (open, locked) = bus.search(&[OURS, ("username", &folder)]).await?;
        for item in &open {
            let _: OwnedObjectPath = bus.call(item, "Item", "Delete", &()).await?;
        }
        match (open.is_empty(), locked.is_empty()) {
            (true, false) => Err(Fault::Locked),
            (none, _) => Ok(!none),
        }
    };
    Ok(ask(forget)?)
}

/// A folder, however it is spelled.
fn spelled(folder: &Path) -> String {
    let path = folder.canonicalize().or_else(|_| std::path::absolute(folder));
    path.as_deref().unwrap_or(folder).display().to_string()
}

fn find(attributes: &[(&str, &str)]) -> Result<Option<DataKey>> {
    let found = ask(async |bus: Bus| {
        let (open, locked) = bus.search(attributes).await?;
        match (open.first(), locked.is_empty()) {
            (Some(item), _) => bus.secret(item).await.map(Some),
            (None, false) => Err(Fault::Locked),
            // Not in an open one; whether in a locked one cannot be told.
            (None, true) => bus.collection().await.map(|_| None),
        }
    })?;
    let Some(text) = found else { return Ok(None) };
    let key = std::str::from_utf8(&text).ok().and_then(DataKey::read);
    key.map(Some).ok_or_else(|| {
        Error::failed("what the OS keyring has for the broker is no key")
            .with_hint("look at it in the password manager")
    })
}

/// Asks on a thread of its own, with a runtime of its own: who asks may be in one, or in none. The connection ends with it.
fn ask<T: Send>(work: impl AsyncFnOnce(Bus) -> Came<T> + Send) -> Came<T> {
    let answer = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Fault::Absent(error.to_string()))?;
        runtime.block_on(async {
            let asked = async { work(Bus(Builder::session().build().await?)).await };
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(too_long()))
        })
    };
    std::thread::scope(|scope| scope.spawn(answer).join())
        .unwrap_or_else(|_| Err(Fault::Absent("the request broke off".to_owned())))
}

/// A connection to the session bus.
struct Bus(Connection);

/// A secret as it goes over the bus: session, parameters, value, content type.
type Sent = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

impl Bus {
    async fn call<B, T>(&self, path: &ObjectPath<'_>, interface: &str, method: &str, body: &B) -> Came<T>
    where
        B: Serialize + Type,
        T: DeserializeOwned + Type,
    {
        let interface = match interface.split_once('.') {
            Some(_) => interface.to_owned(),
            None => format!("org.freedesktop.Secret.{interface}"),
        };
        let answer = self.0.call_method(Some(NAME), path, Some(interface.as_str()), method, body).await?;
        Ok(answer.body().deserialize()?)
    }

    async fn service<B, T>(&self, method: &str, body: &B) -> Came<T>
    where
        B: Serialize + Type,
        T: DeserializeOwned + Type,
    {
        self.call(&path(SERVICE)?, "Service", method, body).await
    }

    /// The items with these attributes: the open ones, and the locked ones.
    async fn search(
        &self,
        attributes: &[(&str, &str)],
    ) -> Came<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>)> {
        let attributes: HashMap<&str, &str> = attributes.iter().copied().collect();
        self.service("SearchItems", &attributes).await
    }

    /// A session in which secrets go over the bus as they are: it is a socket of this user alone, and who could listen
    /// there could ask for them too.
    async fn session(&self) -> Came<OwnedObjectPath> {
        let (_, session): (OwnedVariant, OwnedObjectPath) =
            self.service("OpenSession", &("plain", Variant::from(""))).await?;
        Ok(session)
    }

    async fn secret(&self, item: &ObjectPath<'_>) -> Came<Zeroizing<Vec<u8>>> {
        let session = self.session().await?;
        let ((_, _, value, _),): (Sent,) = self.call(item, "Item", "GetSecret", &(session,)).await?;
        Ok(Zeroizing::new(value))
    }

    /// The collection that new items go to, if it is open.
    async fn collection(&self) -> Came<OwnedObjectPath> {
        let collection: OwnedObjectPath = self.service("ReadAlias", &"default").await?;
        if collection.as_str() == "/" {
            return Err(Fault::Absent("it has no default collection".to_owned()));
        }
        let property = ("org.freedesktop.Secret.Collection", "Locked");
        let locked: OwnedVariant =
            self.call(&collection, "org.freedesktop.DBus.Properties", "Get", &property).await?;
        match bool::try_from(locked) {
            Ok(false) => Ok(collection),
            _ => Err(Fault::Locked),
        }
    }

    async fn create(&self, label: &str, attributes: HashMap<&str, &str>, secret: &[u8]) -> Came<()> {
        let collection = self.collection().await?;
        let session = self.session().await?;
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::from(label)),
            ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes)),
        ]);
        let secret = (session, Vec::<u8>::new(), secret, "text/plain");
        let (_, prompt): (OwnedObjectPath, OwnedObjectPath) =
            self.call(&collection, "Collection", "CreateItem", &(properties, secret, true)).await?;
        // A prompt would be for somebody who may not be there.
        if prompt.as_str() == "/" { Ok(()) } else { Err(Fault::Locked) }
    }
}

fn path(text: &str) -> Came<ObjectPath<'_>> {
    ObjectPath::try_from(text).map_err(Fault::from)
}
