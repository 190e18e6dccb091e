//! Fallback files on this host: records whose folder is not writable, and locks whose file system supports no locks.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::bytes::{cannot_read, cannot_write, file_names, read_bytes};
use super::read::{Found, read};
use super::sealed::Sealer;
use crate::context::Env;
use crate::context::platform::{self, runtime_folders};
use crate::error::Result;
use crate::record::Record;
use crate::store::Loaded;

#[derive(Debug, Clone, Default)]
pub(super) struct FallbackStore {
    folders: Vec<PathBuf>,
    store: PathBuf,
    /// The resolved path of the store's folder when its record was locked. A link may lead to another folder since then.
    locked: Option<PathBuf>,
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
        Self { folders, store: store.to_owned(), locked: None }
    }

    pub(super) fn of_locked_store(mut self) -> Self {
        self.locked = self.store.canonicalize().ok();
        self
    }

    /// Returns the possible names of a provider's files. A name contains the hash of the store's path, because several
    /// stores share a runtime folder. Older versions hashed the unresolved path before the store's folder existed.
    fn names_of(&self, provider: &str, ending: &str) -> Vec<String> {
        let plain = plain(&self.store);
        let mut paths = vec![resolved(&plain, MOST_LINKS), plain];
        paths.extend(self.locked.clone());
        paths.sort();
        paths.dedup();
        paths.iter().map(|path| file_name(provider, path, ending)).collect()
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
        let paths = folders.flat_map(|folder| {
            self.names_of(provider, "json").into_iter().map(move |name| folder.join(name))
        });
        Ok(paths.collect())
    }

    /// Saves a record. If the store's folder was replaced after the lock, saves a copy for each path that the folder had.
    pub(super) fn save(&self, provider: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let unmoved =
            self.locked.as_ref().filter(|path| self.store.canonicalize().is_ok_and(|now| now == **path));
        let names = match unmoved {
            Some(path) => vec![file_name(provider, path, "json")],
            None => self.names_of(provider, "json"),
        };
        let mut last_error = std::io::Error::other("this program saves no records in runtime folders");
        for folder in &self.folders {
            let write = |name| platform::write_private(&folder.join(name), bytes);
            match make(folder).and_then(|()| names.iter().try_for_each(write)) {
                Ok(()) => return Ok(folder.join(&names[0])),
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
        lasting.join(file_name(provider, &resolved(&plain(&self.store), MOST_LINKS), "lock"))
    }
}

fn file_name(provider: &str, store: &Path, ending: &str) -> String {
    let hash = Sha256::digest(store.as_os_str().as_encoded_bytes());
    let hash = u64::from_be_bytes(std::array::from_fn(|index| hash[index]));
    format!("{provider}-{hash:016x}.{ending}")
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
