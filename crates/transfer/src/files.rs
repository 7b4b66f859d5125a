//! The files of a dataset, as they are sent: those that its manifest names, and what is beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_core::Digest;
use manyframe_dataset::{DatasetReader, MANIFEST_FILE, Manifest, Names, named_files};
use manyframe_shards::ShardFormat;
use manyframe_storage::{LocalDirectory, Storage};

use crate::error::TransferError;

/// A file that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentFile {
    /// Its path below the directory that it is sent from.
    pub path: String,
    /// Where it goes.
    pub name: String,
    /// Its size.
    pub num_bytes: u64,
    /// Its digest: that of the manifest, which is compared when the file is read, or one that was computed just now.
    pub digest: Digest,
    /// An object of the same store with the same bytes, if there is one.
    pub copy_of: Option<PathBuf>,
}

/// Shards that are at the store already: the URL of each, by its path in the dataset.
pub type StagedShards = BTreeMap<String, PathBuf>;

/// A dataset in a directory.
pub(crate) struct DatasetFiles {
    pub(crate) directory: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) manifest_digest: Digest,
    /// The text of its manifest.
    pub(crate) manifest_text: Vec<u8>,
    /// All other files: those of the directory in the order of their paths, then those that are at the store already.
    pub(crate) files: Vec<SentFile>,
}

impl DatasetFiles {
    /// Lists a dataset. Shards are not read, but must be there and have the size that the manifest states; but for those that
    /// the store has already, under other names.
    pub(crate) fn read(dataset: &Path, names: Names, at_store: &StagedShards) -> Result<Self, TransferError> {
        let reader = DatasetReader::open(dataset)?;
        let directory = LocalDirectory::new(dataset);
        let manifest = reader.manifest().clone();
        let stated_files = named_files(&manifest);
        let mut files = Vec::new();
        for found in directory.list("")? {
            if found.path == MANIFEST_FILE || is_temporary(&found.path) {
                continue;
            }
            let stated = stated_files.get(&found.path);
            if stated.is_none() && is_shard(&found.path) {
                return Err(TransferError::Unnamed { path: dataset.join(found.path) });
            }
            let digest = stated.map_or_else(|| directory.digest(&found.path), |stated| Ok(stated.digest))?;
            let name = stated.map_or_else(|| found.path.clone(), |_| names.name(&found.path, digest));
            files.push(SentFile { path: found.path, name, num_bytes: found.num_bytes, digest, copy_of: None });
        }
        for (path, stated) in &stated_files {
            if let (Some(copy_of), Some(num_bytes)) = (at_store.get(path), stated.num_bytes) {
                let name = names.name(path, stated.digest);
                let (path, digest, copy_of) = (path.clone(), stated.digest, Some(copy_of.clone()));
                files.push(SentFile { path, name, num_bytes, digest, copy_of });
                continue;
            }
            let found = files.iter().find(|file| file.path == *path).map(|file| file.num_bytes);
            if found.is_none() || stated.num_bytes.is_some_and(|num_bytes| Some(num_bytes) != found) {
                return Err(TransferError::Damaged {
                    path: dataset.join(path),
                    found: found.map_or("it is missing".to_owned(), |num_bytes| format!("{num_bytes} bytes")),
                    expected: stated.num_bytes.map_or("a file".to_owned(), |num_bytes| format!("{num_bytes} bytes")),
                });
            }
        }
        let manifest_text = directory.read(MANIFEST_FILE)?;
        let manifest_digest = Digest::of(&manifest_text);
        Ok(Self { directory: dataset.to_owned(), manifest, manifest_digest, manifest_text, files })
    }
}

/// Whether readers of the directories of shards take a file.
pub(crate) fn is_shard(path: &str) -> bool {
    let (directory, extension) = (path.split('/').next(), path.rsplit('.').next());
    ShardFormat::ALL.iter().any(|format| directory == Some(format.as_str()) && extension == Some(format.extension()))
}

/// Whether a file is what a killed process left.
fn is_temporary(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with('.') && name.rsplit('.').next() == Some("tmp")
}
