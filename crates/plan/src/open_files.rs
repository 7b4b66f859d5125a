//! Files that hold media of many records, such as shards and Parquet files: of those in object stores, a few stay open, and each is
//! asked for its identity once. A process thus sees one version of each.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use manyframe_base::{FileAccess, InputFile, is_url};
use manyframe_media::{MediaError, MediaIdentity};

/// Objects that stay open. Each holds what its last requests brought, up to 24 MiB.
const MOST_OPEN: usize = 8;

/// Opens files that are read again and again.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    access: FileAccess,
    /// The most recently opened first.
    open: Mutex<VecDeque<(PathBuf, InputFile)>>,
    identities: Mutex<HashMap<PathBuf, MediaIdentity>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenFiles {
    pub(crate) fn new(access: FileAccess) -> Self {
        Self { access, ..Self::default() }
    }

    /// Opens a file of this machine, or an object.
    pub(crate) fn open(&self, path: &Path) -> io::Result<InputFile> {
        if !is_url(path) {
            return self.access.open(path);
        }
        if let Some((_, file)) = lock(&self.open).iter().find(|(open, _)| open == path) {
            return Ok(file.clone());
        }
        let file = self.access.open(path)?;
        let mut open = lock(&self.open);
        open.push_front((path.to_owned(), file.clone()));
        open.truncate(MOST_OPEN);
        Ok(file)
    }

    /// The identity of a file or object.
    pub(crate) fn identity(&self, path: &Path) -> Result<MediaIdentity, MediaError> {
        if !is_url(path) {
            return MediaIdentity::of_file(&self.access, path);
        }
        let mut identities = lock(&self.identities);
        if let Some(identity) = identities.get(path) {
            return Ok(*identity);
        }
        let identity = MediaIdentity::of_file(&self.access, path)?;
        identities.insert(path.to_owned(), identity);
        Ok(identity)
    }
}
