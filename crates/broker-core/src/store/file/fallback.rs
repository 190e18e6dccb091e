//! Fallback files on this host: records whose folder is not writable, and locks whose file system supports no locks.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::bytes::{cannot_read, cannot_write, file_names, read_bytes};
use super::read::{Found, read};
use super::sealed::Sealer;
use crate::platform::{self, runtime_folders};
use crate::{Env, Loaded, Record, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct FallbackStore {
    folders: Vec<PathBuf>,
    store: PathBuf,
    /// Hashes of the store's folder path: of the resolved path, and of the path as older versions hashed it before the
    /// folder existed. File names contain a hash, because several stores share a runtime folder.
    hashes: OnceLock<Vec<String>>,
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
        Self { folders, store: store.to_owned(), hashes: OnceLock::new() }
    }

    fn hashes(&self) -> &[String] {
        self.hashes.get_or_init(|| {
            let plain = plain(&self.store);
            let mut hashes = vec![hash(&resolved(&plain, MOST_LINKS)), hash(&plain)];
            hashes.dedup();
            hashes
        })
    }

    /// Returns the names of a provider's files. New files get the first name.
    fn names_of(&self, provider: &str, ending: &str) -> impl Iterator<Item = String> {
        self.hashes().iter().map(move |hash| format!("{provider}-{hash}.{ending}"))
    }

    fn name(&self, provider: &str, ending: &str) -> String {
        self.names_of(provider, ending).next().unwrap_or_default()
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
        for path in self.files(provider)? {
            // Fails if a record cannot be read or decrypted, because that record may be the newest one.
            if let Found { loaded: Loaded::Record(record), sealed_with } = read(&path, provider, sealer)?
                && own.is_none_or(|own| record.is_copy_of(own))
                && newest.as_ref().is_none_or(|(other, _)| record.age() >= other.age())
            {
                newest = Some((record, sealed_with));
            }
        }
        Ok(newest)
    }

    pub(super) fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for folder in self.private_folders()? {
            for ending in self.names_of("", "json") {
                let files = file_names(folder)?;
                names.extend(files.iter().filter_map(|name| name.strip_suffix(&ending)).map(str::to_owned));
            }
        }
        Ok(names)
    }

    fn private_folders(&self) -> Result<Vec<&PathBuf>> {
        let mut private = Vec::new();
        for folder in &self.folders {
            if is_private_folder(folder).map_err(|error| cannot_read(folder, error))? {
                private.push(folder);
            }
        }
        Ok(private)
    }

    /// Returns the possible paths of the provider's record files in private runtime folders. The files may not exist.
    pub(super) fn files(&self, provider: &str) -> Result<Vec<PathBuf>> {
        let folders = self.private_folders()?.into_iter();
        Ok(folders.flat_map(|folder| self.names_of(provider, "json").map(|name| folder.join(name))).collect())
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

    /// Removes the provider's fallback files. Fails if such a file may remain.
    pub(super) fn clear(&self, provider: &str, sealer: Option<&dyn Sealer>) -> Result<()> {
        for path in self.files(provider)? {
            if read_bytes(&path)?.is_none() {
                continue;
            }
            // Does not remove an unreadable fallback file, because a newer broker version may have written that file.
            if matches!(read(&path, provider, sealer), Ok(Found { loaded: Loaded::Record(_), .. })) {
                std::fs::remove_file(&path).map_err(|error| cannot_write("remove", &path, error))?;
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

fn hash(path: &Path) -> String {
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|index| hash[index])))
}

fn plain(folder: &Path) -> PathBuf {
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()).components().collect()
}

/// The limit of symbolic links in a path, as in Linux.
const MOST_LINKS: usize = 40;

/// Returns the same path for every spelling of a folder's path, before and after the folder is created. Resolves the
/// longest existing part of the path, and links to folders that do not exist yet.
fn resolved(path: &Path, links_left: usize) -> PathBuf {
    for ancestor in path.ancestors() {
        let Ok(rest) = path.strip_prefix(ancestor) else { break };
        if let Ok(existing) = ancestor.canonicalize() {
            // `join` with an empty path would add a slash.
            return if rest.as_os_str().is_empty() { existing } else { existing.join(rest) };
        }
        if links_left > 0
            && let (Ok(target), Some(parent)) = (ancestor.read_link(), ancestor.parent())
        {
            return resolved(
                &parent.join(target).join(rest).components().collect::<PathBuf>(),
                links_left - 1,
            );
        }
    }
    path.to_owned()
}

/// Creates a folder. Fails if the folder is not private, because every user may create folders in `/tmp`.
pub(super) fn make(folder: &Path) -> std::io::Result<()> {
    platform::make_folder(folder)?;
    if is_private_folder(folder)? {
        return Ok(());
    }
    Err(std::io::Error::other(format!("the folder {} is accessible to other users", folder.display())))
}

/// Whether a path is a folder of this user alone. Fails if that is unknown, such as after a disk error.
fn is_private_folder(folder: &Path) -> std::io::Result<bool> {
    match folder.symlink_metadata() {
        Ok(meta) => Ok(meta.is_dir() && platform::is_private(&meta)),
        // `XDG_RUNTIME_DIR` may be another user's folder, or no path at all.
        Err(error) if is_unusable(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_unusable(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    let kinds = [NotFound, NotADirectory, PermissionDenied, InvalidFilename, InvalidInput];
    kinds.contains(&error.kind()) || platform::is_link(error)
}
