//! Earlier uploads from a directory to its own destination: the next one replaces what is there of them, whether they ended or
//! not.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use manyframe_base::FileError;
use manyframe_base::files::write_atomic;
use manyframe_core::Digest;
use serde::{Deserialize, Serialize};

use crate::error::TransferError;
use crate::files::DatasetFiles;

/// What may be at the destination, besides what its manifest names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Earlier {
    /// The manifests that were to be sent.
    pub(crate) manifests: BTreeSet<Digest>,
    /// The files that were to be sent.
    pub(crate) files: BTreeSet<String>,
}

impl Earlier {
    /// Reads the note; without one, there was no upload. One that cannot be understood says nothing.
    pub(crate) fn read(path: &Path) -> Result<Self, TransferError> {
        match fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(FileError::read(path)(error).into()),
        }
    }

    pub(crate) fn add(&mut self, dataset: &DatasetFiles) {
        self.manifests.insert(dataset.manifest_digest);
        self.files.extend(dataset.files.iter().map(|file| file.name.clone()));
    }

    #[expect(clippy::expect_used, reason = "digests and texts are JSON")]
    pub(crate) fn write(&self, path: &Path) -> Result<(), TransferError> {
        Ok(write_atomic(path, &serde_json::to_vec(self).expect("a note is JSON"))?)
    }
}
