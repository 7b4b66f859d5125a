//! Datasets whose files are stored under their digests, such as `objects/0123….tar`: another dataset at the same place then
//! replaces none of them, and readers of the one before are not disturbed.
//!
//! The manifest is the same as with plain names: what it names is found by the digest that it states. Files that it does not
//! name, such as the data card, have plain names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::{FileError, InputFile};
use manyframe_core::Digest;
use manyframe_storage::{Condition, FileState, Storage, StoredFile, Written, digest_of_file};

use crate::manifest::Manifest;

/// The directory of files that are stored under their digests.
pub const OBJECTS_DIRECTORY: &str = "objects";

/// How the files that a manifest names are called where they are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// By their paths, as trainers expect that list directories.
    #[default]
    Plain,
    /// By their digests.
    Content,
}

impl Names {
    /// Where a file is stored that a manifest names.
    pub fn name(self, path: &str, digest: Digest) -> String {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        match self {
            Self::Plain => path.to_owned(),
            Self::Content => format!("{OBJECTS_DIRECTORY}/{digest}.{extension}"),
        }
    }

    /// How the files of a dataset are called in a storage: each dataset has a ledger.
    ///
    /// # Errors
    ///
    /// If the storage cannot be asked.
    pub fn of(storage: &dyn Storage, manifest: &Manifest) -> Result<Self, FileError> {
        let ledger = Self::Content.name(&manifest.ledger.path, manifest.ledger.digest);
        Ok(if storage.num_bytes(&ledger)?.is_some() { Self::Content } else { Self::Plain })
    }
}

/// What a manifest states of a file that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatedFile {
    /// `None` if it states no size.
    pub num_bytes: Option<u64>,
    /// Its digest.
    pub digest: Digest,
}

/// The files that a manifest names, by their paths.
pub fn named_files(manifest: &Manifest) -> BTreeMap<String, StatedFile> {
    let shards = manifest
        .shards
        .iter()
        .map(|shard| (shard.path.to_string(), StatedFile { num_bytes: Some(shard.num_bytes), digest: shard.digest }));
    let tables = manifest.pack.iter().map(|pack| (pack.path.clone(), pack.digest));
    let tables = tables.chain(manifest.needles.iter().map(|needles| (needles.path.clone(), needles.digest)));
    let tables = tables.chain([(manifest.ledger.path.clone(), manifest.ledger.digest)]);
    shards.chain(tables.map(|(path, digest)| (path, StatedFile { num_bytes: None, digest }))).collect()
}

/// A storage in which what a manifest names is stored under digests. Its paths are those of the manifest.
#[derive(Debug)]
pub(crate) struct ByDigest {
    storage: Arc<dyn Storage>,
    names: BTreeMap<String, String>,
}

impl ByDigest {
    pub(crate) fn new(storage: Arc<dyn Storage>, manifest: &Manifest) -> Self {
        let names = named_files(manifest).into_iter().map(|(path, stated)| {
            let name = Names::Content.name(&path, stated.digest);
            (path, name)
        });
        Self { storage, names: names.collect() }
    }

    fn name<'n>(&'n self, path: &'n str) -> &'n str {
        self.names.get(path).map_or(path, String::as_str)
    }
}

impl Storage for ByDigest {
    fn location(&self) -> &Path {
        self.storage.location()
    }

    fn state(&self, path: &str) -> Result<Option<FileState>, FileError> {
        self.storage.state(self.name(path))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, FileError> {
        self.storage.read(self.name(path))
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, FileError> {
        self.storage.read_range(self.name(path), range)
    }

    fn open(&self, path: &str) -> Result<InputFile, FileError> {
        self.storage.open(self.name(path))
    }

    /// Files under digests that the manifest does not name are of other datasets.
    fn list(&self, directory: &str) -> Result<Vec<StoredFile>, FileError> {
        let paths: BTreeMap<&str, &String> = self.names.iter().map(|(path, name)| (name.as_str(), path)).collect();
        let own = |file: StoredFile| match paths.get(file.path.as_str()) {
            Some(path) => Some(StoredFile { path: (*path).clone(), ..file }),
            None => (!file.path.starts_with(OBJECTS_DIRECTORY)).then_some(file),
        };
        let mut files: Vec<StoredFile> = self.storage.list("")?.into_iter().filter_map(own).collect();
        let prefix = format!("{directory}/");
        files.retain(|file| directory.is_empty() || file.path.starts_with(&prefix));
        files.sort_unstable();
        Ok(files)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.storage.write(self.name(path), bytes)
    }

    fn write_if(&self, path: &str, bytes: &[u8], condition: &Condition) -> Result<Written, FileError> {
        self.storage.write_if(self.name(path), bytes, condition)
    }

    /// What is copied in is a file that a manifest will name.
    fn copy_in(&self, local: &Path, path: &str) -> Result<(), FileError> {
        self.storage.copy_in(local, &Names::Content.name(path, digest_of_file(local)?))
    }

    fn copy_from(&self, original: &Path, path: &str) -> Result<(), FileError> {
        self.storage.copy_from(original, self.name(path))
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        self.storage.remove(self.name(path))
    }

    fn local_path(&self, path: &str) -> Result<PathBuf, FileError> {
        self.storage.local_path(self.name(path))
    }

    fn full_path(&self, path: &str) -> PathBuf {
        self.storage.full_path(self.name(path))
    }

    fn digest(&self, path: &str) -> Result<Digest, FileError> {
        self.storage.digest(self.name(path))
    }
}
