//! Adds fallback files to a file store: copies of records in a runtime folder, while the state folder is not writable.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::context::{Env, platform};
use crate::error::{Error, ErrorCode, Result};
use crate::record::{Record, is_provider_name};
use crate::store::file::bytes::{cannot_read, cannot_write, file_stems, is_missing, read_bytes};
use crate::store::file::{FileStore, LockedRecord, runtime};
use crate::store::{Loaded, Locked, Locking, Store, StoreAbout, read};

/// A [`FileStore`] that saves records in a runtime folder of this host if the state folder is not writable.
#[derive(Debug, Clone)]
pub struct FallbackStore {
    pub(super) files: FileStore,
    folders: Vec<PathBuf>,
    /// The resolved path of the store's folder when its record was locked. A link may lead to another folder since then.
    locked: Option<PathBuf>,
}

impl FallbackStore {
    /// Adds fallback files to `files`, in `$XDG_RUNTIME_DIR/broker`, `/run/user/UID/broker` or `/tmp/broker-UID`.
    #[must_use]
    pub fn new(files: FileStore, env: &dyn Env) -> Self {
        Self { files, folders: runtime::folders(env), locked: None }
    }

    /// Returns the record from the state folder, or a newer copy from a runtime folder. A copy of a record that was
    /// removed, such as by a logout, is never newer than the record that was created later. Returns `None` if the read
    /// of a copy has to wait and must not.
    fn newest(&self, provider: &str, own: Result<Loaded>, may_wait: bool) -> Result<Option<Loaded>> {
        // The record may be newer than the fallback file, such as one that is encrypted with a missing key.
        if own.is_err() && !is_missing(&self.files.record_path(provider)) {
            return own.map(Some);
        }
        let own_record = match &own {
            Ok(Loaded::Record(record)) => Some(record),
            _ => None,
        };
        let mut newest: Option<Box<Record>> = None;
        for path in self.copies(provider)? {
            // Fails if a copy cannot be read or decrypted, because that copy may be the newest one.
            let read = self.files.sealing().read(&path, provider, may_wait)?;
            let Some(loaded) = read else { return Ok(None) };
            if let Loaded::Record(record) = loaded
                && own_record.is_none_or(|own| record.is_copy_of(own) && record.age() >= own.age())
                && newest.as_ref().is_none_or(|other| record.age() >= other.age())
            {
                newest = Some(record);
            }
        }
        newest.map_or(own, |copy| Ok(Loaded::FromFallback(copy))).map(Some)
    }

    fn private_folders(&self) -> Result<Vec<&PathBuf>> {
        let mut private = Vec::new();
        for folder in &self.folders {
            if runtime::is_private_folder(folder).map_err(|error| cannot_read(folder, error))? {
                private.push(folder);
            }
        }
        Ok(private)
    }

    /// Returns the possible names of a provider's fallback files.
    fn file_names(&self, provider: &str) -> Vec<String> {
        runtime::record_names(self.files.folder(), self.locked.as_deref(), provider)
    }

    /// Returns the possible paths of a provider's fallback files in private folders. The files may not exist.
    pub(super) fn copies(&self, provider: &str) -> Result<Vec<PathBuf>> {
        let names = self.file_names(provider);
        let paths = |folder: &PathBuf| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
        Ok(self.private_folders()?.into_iter().flat_map(paths).collect())
    }

    /// Returns the names of all providers with a record in the state or runtime folder, whether configured or not.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = file_stems(self.files.folder(), ".json")?;
        for folder in self.private_folders()? {
            for ending in self.file_names("") {
                names.extend(file_stems(folder, &ending)?);
            }
        }
        names.retain(|name| is_provider_name(name));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Saves a copy. If the store's folder was replaced after the lock, saves a copy for each path that the folder had.
    fn save_copy(&self, provider: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
        let is_same = |path: &&PathBuf| self.files.folder().canonicalize().is_ok_and(|now| now == **path);
        let names = match self.locked.as_ref().filter(is_same) {
            Some(path) => vec![runtime::record_name(path, provider)],
            None => self.file_names(provider),
        };
        let mut last_error = std::io::ErrorKind::NotFound.into();
        for folder in &self.folders {
            let write = |name| platform::write_private(&folder.join(name), bytes);
            match runtime::make(folder).and_then(|()| names.iter().try_for_each(write)) {
                Ok(()) => return Ok(folder.join(&names[0])),
                Err(error) => last_error = error,
            }
        }
        Err(last_error)
    }

    /// Removes the copies of a record. Fails if a copy may remain.
    fn clear(&self, provider: &str) -> Result<()> {
        for path in self.copies(provider)? {
            if read_bytes(&path)?.is_none() {
                continue;
            }
            // Does not remove an unreadable copy, because a newer broker version may have written that file.
            if matches!(self.files.sealing().read(&path, provider, true), Ok(Some(Loaded::Record(_)))) {
                std::fs::remove_file(&path).map_err(|error| cannot_write("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// Locks the record, or returns the process that has the lock.
    pub(super) fn lock(&self, provider: &str) -> Result<std::result::Result<LockedCopies, Option<String>>> {
        Ok(self.files.lock(provider)?.map(|own| {
            let locked = self.files.folder().canonicalize().ok();
            LockedCopies { own, store: Self { locked, ..self.clone() }, provider: provider.to_owned() }
        }))
    }
}

#[async_trait]
impl Store for FallbackStore {
    fn read(&self, provider: &str, may_wait: bool) -> Result<Option<Loaded>> {
        let Some(own) = self.files.read(provider, may_wait).transpose() else { return Ok(None) };
        self.newest(provider, own, may_wait)
    }

    async fn try_lock(&self, provider: &str) -> Result<Locking> {
        Ok(match self.lock(provider)? {
            Ok(locked) => Locking::Taken(Box::new(locked)),
            Err(holder) => Locking::Busy(holder),
        })
    }

    fn about(&self) -> StoreAbout {
        self.files.about()
    }
}

/// A locked record and its copies in runtime folders.
pub(super) struct LockedCopies {
    pub(super) own: LockedRecord,
    pub(super) store: FallbackStore,
    pub(super) provider: String,
}

impl LockedCopies {
    pub(super) fn clear(&self) -> Result<()> {
        self.store.clear(&self.provider)
    }
}

#[async_trait]
impl Locked for LockedCopies {
    async fn load(&mut self) -> Result<Loaded> {
        let own = self.own.load().await;
        match self.store.newest(&self.provider, own, false)? {
            Some(loaded) => Ok(loaded),
            None => read(&self.store, &self.provider).await,
        }
    }

    async fn probe(&mut self, record: &Record, saves: usize) -> Result<()> {
        self.own.probe(record, saves).await
    }

    async fn save(&mut self, record: &Record) -> Result<Option<String>> {
        let quarantined = self.own.save(record).await?;
        if let Err(error) = self.clear() {
            tracing::warn!(%error, "cannot remove an older copy of the record from the runtime folder");
        }
        Ok(quarantined)
    }

    async fn save_to_fallback(&mut self, record: &Record) -> Result<String> {
        let bytes = self.store.files.sealing().encode(record, &self.provider)?;
        let saved = self.store.save_copy(&self.provider, &bytes);
        saved.map(|path| path.display().to_string()).map_err(|error| {
            let message = format!("cannot save the record in the runtime folder: {error}");
            Error::new(ErrorCode::StoreUnwritable, message).with_source(error)
        })
    }

    async fn forget(&mut self) -> Result<Option<String>> {
        // A copy that cannot be removed keeps the login, so the record stays too.
        let _ = self.own.quarantine()?;
        self.clear()?;
        self.own.forget().await
    }
}
