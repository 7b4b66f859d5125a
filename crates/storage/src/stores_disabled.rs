//! The public interface of the module `stores` in builds without the feature of that name: directories and files of this
//! machine are opened, and a URL is an error.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::{FileAccess, Listed, ObjectAccess, ObjectState, ReadAt, store_failure, url_of};

use crate::local::LocalDirectory;
use crate::storage::Storage;

/// Why a storage cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It is named by a URL.
    #[error(
        "this manyframe was built without the feature `stores`, which opens {scheme}: URLs; \
         `cargo build --release` builds it with all features"
    )]
    Disabled {
        /// The part of the URL before the colon: what follows might be a password.
        scheme: String,
    },
}

impl StorageError {
    fn of(url: &str) -> Self {
        Self::Disabled { scheme: url.split(':').next().unwrap_or_default().to_owned() }
    }
}

/// How to reach object stores: unused here.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions(());

impl StoreOptions {
    /// Takes what an environment says of object stores.
    pub fn from_environment(_environment: BTreeMap<String, String>, _endpoint: Option<String>) -> Self {
        Self(())
    }
}

/// Where the cache of objects would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOptions {
    /// Its directory.
    pub directory: PathBuf,
    /// Its largest size.
    pub max_bytes: u64,
}

/// Opens what is on this machine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stores(());

impl Stores {
    /// Takes how stores would be reached.
    pub fn new(_options: StoreOptions, _cache: Option<CacheOptions>) -> Self {
        Self(())
    }

    /// Opens files of this machine; of a URL, it says why it does not.
    pub fn access(&self) -> FileAccess {
        FileAccess::with_objects(Arc::new(self.clone()))
    }

    /// A directory of this machine.
    ///
    /// # Errors
    ///
    /// As [`open`](crate::open).
    pub fn storage(&self, location: &Path) -> Result<Arc<dyn Storage>, StorageError> {
        match url_of(location) {
            Some(url) => Err(StorageError::of(url)),
            None => Ok(Arc::new(LocalDirectory::new(location))),
        }
    }
}

impl ObjectAccess for Stores {
    fn state(&self, url: &str) -> io::Result<Option<ObjectState>> {
        Err(disabled(url))
    }

    fn open(&self, url: &str, _state: &ObjectState) -> io::Result<Arc<dyn ReadAt>> {
        Err(disabled(url))
    }

    fn is_directory(&self, url: &str) -> io::Result<bool> {
        Err(disabled(url))
    }

    fn list(&self, url: &str) -> io::Result<Vec<Listed>> {
        Err(disabled(url))
    }
}

fn disabled(url: &str) -> io::Error {
    store_failure(StorageError::of(url).to_string())
}

/// Opens a directory of this machine.
///
/// # Errors
///
/// If the location is a URL.
pub fn open(location: &Path, _options: &StoreOptions) -> Result<Arc<dyn Storage>, StorageError> {
    Stores::default().storage(location)
}

/// A URL is none that can be opened.
///
/// # Errors
///
/// Always.
pub fn check_url(text: &str) -> Result<(), StorageError> {
    Err(StorageError::of(text))
}
