//! Fallback files on this host: records whose folder is not writable, and locks whose file system supports no locks.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::bytes::file_names;
use super::read::{Found, read};
use super::sealed::{Envelope, Sealer};
use crate::platform::{self, runtime_folders};
use crate::{Env, Loaded, Record, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct FallbackStore {
    folders: Vec<PathBuf>,
    store: PathBuf,
    /// A hash of the store's folder path. File names contain the hash, because several stores share a runtime folder.
    hash: OnceLock<String>,
}

/// Returns the user's runtime folders: `$XDG_RUNTIME_DIR/broker`, `/run/user/UID/broker`, `/tmp/broker-UID`.
pub(super) fn folders(env: &dyn Env) -> Vec<PathBuf> {
    let configured = env.var("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let mut folders: Vec<_> = configured.into_iter().map(|folder| folder.join("broker")).collect();
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
            let hash = Sha256::digest(canonical(&self.store).as_os_str().as_encoded_bytes());
            format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|index| hash[index])))
        });
        format!("{provider}-{hash}.{ending}")
    }

    /// Returns the newest fallback record, with its storage format. If `own` is the record in the state folder, returns
    /// only a copy of that record.
    pub(super) fn read(
        &self,
        provider: &str,
        sealer: Option<&dyn Sealer>,
        own: Option<&Record>,
    ) -> Result<Option<(Box<Record>, Option<String>)>> {
        let mut newest: Option<(Box<Record>, Option<String>)> = None;
        for path in self.files(provider) {
            // Fails if a record cannot be decrypted, because that record may be the newest one.
            let found = match read(&path, provider, sealer) {
                Err(error) if Envelope::of_file(&path).is_some() => return Err(error),
                found => found,
            };
            if let Ok(Found { loaded: Loaded::Record(record), sealed_with }) = found
                && own.is_none_or(|own| record.is_copy_of(own))
                && newest.as_ref().is_none_or(|(other, _)| record.age() >= other.age())
            {
                newest = Some((record, sealed_with));
            }
        }
        Ok(newest)
    }

    pub(super) fn names(&self) -> Vec<String> {
        let ending = self.name("", "json");
        let files = self.private_folders().flat_map(|folder| file_names(folder));
        files.filter_map(|name| name.strip_suffix(&ending).map(str::to_owned)).collect()
    }

    fn private_folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.folders.iter().filter(|folder| is_private_folder(folder))
    }

    /// Returns the path of the provider's record file in each private runtime folder. The file may not exist.
    pub(super) fn files(&self, provider: &str) -> impl Iterator<Item = PathBuf> {
        self.private_folders().map(move |folder| folder.join(self.name(provider, "json")))
    }

    pub(super) fn save(&self, provider: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let mut last_error = std::io::Error::other("this program saves no records in runtime folders");
        for folder in &self.folders {
            let path = folder.join(self.name(provider, "json"));
            match make(folder).and_then(|()| platform::write_private(&path, bytes)) {
                Ok(()) => return Ok(path),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    pub(super) fn clear(&self, provider: &str, sealer: Option<&dyn Sealer>) -> std::io::Result<()> {
        for path in self.files(provider) {
            // Does not remove an unreadable fallback file, because a newer broker version may have written that file.
            if matches!(read(&path, provider, sealer), Ok(Found { loaded: Loaded::Record(_), .. })) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Returns the path of the lock file that all processes of this host share, whatever their environment variables.
    pub(super) fn lock_path(&self, provider: &str) -> PathBuf {
        let [_, lasting] = runtime_folders();
        lasting.join(self.name(provider, "lock"))
    }
}

/// Returns the same path for every spelling of a folder's path, even if the folder cannot be read now.
fn canonical(folder: &Path) -> PathBuf {
    let plain: PathBuf =
        std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).components().collect();
    plain.canonicalize().unwrap_or_else(|_| {
        match (plain.parent().map(Path::canonicalize), plain.file_name()) {
            (Some(Ok(parent)), Some(name)) => parent.join(name),
            _ => plain.clone(),
        }
    })
}

/// Creates a folder. Fails if the folder is not private, because every user may create folders in `/tmp`.
pub(super) fn make(folder: &Path) -> std::io::Result<()> {
    platform::make_folder(folder)?;
    if is_private_folder(folder) {
        return Ok(());
    }
    Err(std::io::Error::other(format!("the folder {} is accessible to other users", folder.display())))
}

fn is_private_folder(folder: &Path) -> bool {
    folder.symlink_metadata().is_ok_and(|meta| meta.is_dir() && platform::is_private(&meta))
}
