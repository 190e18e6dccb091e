//! The second place: folders of this host, for a record whose own folder cannot be written any more, and for a lock
//! where the file system of that folder has none.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::read::{Found, read};
use super::sealed::{Envelope, Sealer};
use crate::platform::{self, runtime_folders};
use crate::{Env, Loaded, Record, Result};

/// Folders beside the one that a store is in.
#[derive(Debug, Clone, Default)]
pub(super) struct FallbackStore {
    folders: Vec<PathBuf>,
    store: PathBuf,
    /// A hash of the store's folder: several stores may share a second place.
    hash: OnceLock<String>,
}

/// The folders of this host that last while its user is there: `$XDG_RUNTIME_DIR/broker`, `/run/user/UID/broker`,
/// `/tmp/broker-UID`.
pub(super) fn folders(env: &dyn Env) -> Vec<PathBuf> {
    let named = env.var("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let mut folders: Vec<_> = named.into_iter().map(|folder| folder.join("broker")).collect();
    folders.extend(runtime_folders());
    folders.dedup();
    folders
}

impl FallbackStore {
    pub(super) fn new(folders: Vec<PathBuf>, store: &Path) -> Self {
        Self { folders, store: store.to_owned(), hash: OnceLock::new() }
    }

    fn name(&self, provider: &str, ending: &str) -> String {
        let hash = self.hash.get_or_init(|| {
            let hash = Sha256::digest(one_spelling(&self.store).as_os_str().as_encoded_bytes());
            format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|index| hash[index])))
        });
        format!("{provider}-{hash}.{ending}")
    }

    /// The newest record that was saved here, and in which way it is sealed.
    pub(super) fn read(
        &self,
        provider: &str,
        sealer: Option<&dyn Sealer>,
    ) -> Result<Option<(Box<Record>, Option<String>)>> {
        let mut newest: Option<(Box<Record>, Option<String>)> = None;
        for path in self.files(provider) {
            // What is sealed and cannot be opened now may be newer than all else.
            let found = match read(&path, provider, sealer) {
                Err(error) if Envelope::of_file(&path).is_some() => return Err(error),
                found => found,
            };
            if let Ok(Found { loaded: Loaded::Record(record), with }) = found
                && newest.as_ref().is_none_or(|(other, _)| record.age() >= other.age())
            {
                newest = Some((record, with));
            }
        }
        Ok(newest)
    }

    /// The providers that have a record here.
    pub(super) fn names(&self) -> Vec<String> {
        let ending = self.name("", "json");
        let folders = self.folders.iter().filter(|folder| is_ours(folder));
        let entries = folders.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
        let files = entries.filter_map(|entry| entry.file_name().into_string().ok());
        files.filter_map(|name| name.strip_suffix(&ending).map(str::to_owned)).collect()
    }

    /// Where it may be: not where others could have put it.
    pub(super) fn files(&self, provider: &str) -> impl Iterator<Item = PathBuf> {
        let ours = self.folders.iter().filter(|folder| is_ours(folder));
        ours.map(move |folder| folder.join(self.name(provider, "json")))
    }

    /// Saves in the first folder that takes it.
    pub(super) fn save(&self, provider: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let mut why = std::io::Error::other("there is no second place");
        for folder in &self.folders {
            match make(folder).and_then(|()| put(folder, &self.name(provider, "json"), bytes)) {
                Ok(path) => return Ok(path),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Removes what was saved here: it is in its own place again, or is to be forgotten.
    pub(super) fn clear(&self, provider: &str, sealer: Option<&dyn Sealer>) -> std::io::Result<()> {
        for path in self.files(provider) {
            // What cannot be read may be the record of a newer version: it is left.
            if matches!(read(&path, provider, sealer), Ok(Found { loaded: Loaded::Record(_), .. })) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Where the lock is that all processes of this host find, whatever their environment and session. Its folder is
    /// made by [`FallbackStore::make_lock_folder`].
    pub(super) fn lock_path(&self, provider: &str) -> PathBuf {
        let [_, lasting] = runtime_folders();
        lasting.join(self.name(provider, "lock"))
    }

    pub(super) fn make_lock_folder() -> std::io::Result<()> {
        let [_, lasting] = runtime_folders();
        make(&lasting)
    }
}

/// The path of a folder however it is spelled, also where it cannot be reached now.
fn one_spelling(folder: &Path) -> PathBuf {
    let plain: PathBuf =
        std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).components().collect();
    plain.canonicalize().unwrap_or_else(|_| {
        match (plain.parent().map(Path::canonicalize), plain.file_name()) {
            (Some(Ok(parent)), Some(name)) => parent.join(name),
            _ => plain.clone(),
        }
    })
}

/// Makes a folder that nobody else can look into, or makes sure that it is one: others can write to `/tmp` too.
fn make(folder: &Path) -> std::io::Result<()> {
    platform::make_folder(folder)?;
    if is_ours(folder) {
        return Ok(());
    }
    Err(std::io::Error::other(format!("{} is not a folder of yours alone", folder.display())))
}

fn is_ours(folder: &Path) -> bool {
    folder.symlink_metadata().is_ok_and(|meta| meta.is_dir() && platform::is_private(&meta))
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let path = folder.join(name);
    platform::write_private(&path, bytes)?;
    Ok(path)
}
