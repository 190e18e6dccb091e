//! Private folders of this host, for locks whose file system supports no locks and for records whose folder is not
//! writable. Names in these folders contain a hash of the store's path, because several stores share a folder.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::context::Env;
use crate::context::platform::{self, runtime_folders};

/// Returns the user's runtime folders: `$XDG_RUNTIME_DIR/broker`, `/run/user/UID/broker`, `/tmp/broker-UID`.
pub(crate) fn folders(env: &dyn Env) -> Vec<PathBuf> {
    let configured = env.var("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let mut folders: Vec<_> = configured.into_iter().map(|folder| folder.join("broker")).collect();
    folders.extend(runtime_folders());
    folders.dedup();
    folders
}

/// Returns the path of the lock file that all processes of this host share, whatever their environment variables.
pub(crate) fn lock_path(store: &Path, provider: &str) -> PathBuf {
    let [_, lasting] = runtime_folders();
    lasting.join(file_name(provider, &resolved(&plain(store), MOST_LINKS), "lock"))
}

/// Returns the possible names of a provider's record file. Older versions hashed the unresolved path before the store's
/// folder existed. `locked` is the folder's path when its record was locked.
pub(crate) fn record_names(store: &Path, locked: Option<&Path>, provider: &str) -> Vec<String> {
    let plain = plain(store);
    let mut paths = vec![resolved(&plain, MOST_LINKS), plain];
    paths.extend(locked.map(Path::to_owned));
    paths.sort();
    paths.dedup();
    paths.iter().map(|path| record_name(path, provider)).collect()
}

/// Returns the name of a provider's record file for the resolved path of a store.
pub(crate) fn record_name(store: &Path, provider: &str) -> String {
    file_name(provider, store, "json")
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
pub(crate) fn make(folder: &Path) -> std::io::Result<()> {
    platform::make_folder(folder)?;
    if is_private_folder(folder)? {
        return Ok(());
    }
    Err(std::io::Error::other(format!("the folder {} is accessible to other users", folder.display())))
}

/// Whether a path is a folder of this user alone. Fails if that is unknown, such as after a disk error.
pub(crate) fn is_private_folder(folder: &Path) -> std::io::Result<bool> {
    match folder.symlink_metadata() {
        Ok(meta) => Ok(meta.is_dir() && platform::is_own(&meta) && !platform::others_read(&meta)),
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
