//! The files of a dataset, as they are sent: those that its manifest names, and what is beside them.

use std::path::{Path, PathBuf};

use manyframe_core::Digest;
use manyframe_dataset::{DatasetReader, MANIFEST_FILE, Manifest, Names, named_files};
use manyframe_shards::ShardFormat;
use manyframe_storage::{LocalDirectory, Storage};

use crate::error::TransferError;

/// A file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatasetFile {
    /// Its path below the dataset.
    pub(crate) path: String,
    /// Where it goes.
    pub(crate) name: String,
    /// Its size.
    pub(crate) num_bytes: u64,
    /// Its digest: that of the manifest, which is compared when the file is read, or one that was computed just now.
    pub(crate) digest: Digest,
}

/// A dataset in a directory.
pub(crate) struct DatasetFiles {
    pub(crate) directory: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) manifest_digest: Digest,
    /// The text of its manifest.
    pub(crate) manifest_text: Vec<u8>,
    /// All other files, in the order of their paths.
    pub(crate) files: Vec<DatasetFile>,
}

impl DatasetFiles {
    /// Lists a dataset. Shards are not read, but must be there and have the size that the manifest states.
    pub(crate) fn read(dataset: &Path, names: Names) -> Result<Self, TransferError> {
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
            files.push(DatasetFile { path: found.path, name, num_bytes: found.num_bytes, digest });
        }
        for (path, stated) in &stated_files {
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
