//! Errors of transfers.

use std::path::PathBuf;

use manyframe_base::FileError;
use manyframe_core::Digest;
use manyframe_dataset::DatasetError;

/// Why a dataset was not transferred.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no dataset.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A file is not the one that the manifest names.
    #[error(
        "{path:?} is not the file that the manifest names: {found}, expected {expected}; `manyframe verify` checks the dataset"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its size or digest.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// A shard is not named by the manifest, and would be read by whoever lists its directory.
    #[error("{path:?} is not in the manifest, and readers of its directory would take it; remove it, or build again")]
    Unnamed {
        /// The shard.
        path: PathBuf,
    },
    /// A file is not at its destination as it was sent.
    #[error("{path:?} did not arrive as it was sent: {found}, expected {expected}; no manifest was written")]
    Altered {
        /// Where it is.
        path: PathBuf,
        /// Its size or digest there.
        found: String,
        /// What was sent.
        expected: String,
    },
    /// Another dataset is being uploaded to the same place.
    #[error(
        "another upload to {location:?} is not finished: dataset {name:?} with manifest {digest}; finish it, or replace it with \
         --take-over if it does not run any more"
    )]
    Busy {
        /// The destination.
        location: PathBuf,
        /// The other dataset.
        name: String,
        /// The digest of its manifest.
        digest: Digest,
    },
    /// Another manifest appeared at the destination in the meantime.
    #[error(
        "another upload to {location:?} was faster: its manifest is not the one that this upload found there; upload again"
    )]
    Overtaken {
        /// The destination.
        location: PathBuf,
    },
    /// At the destination is a dataset of another name.
    #[error(
        "{location:?} is the dataset {found:?}, and this one is {name:?}; choose another URL, or replace it with --replace"
    )]
    OtherName {
        /// The destination.
        location: PathBuf,
        /// The name of the dataset there.
        found: String,
        /// The name of this one.
        name: String,
    },
    /// The files of the dataset at the destination are called otherwise.
    #[error(
        "the files of the dataset at {location:?} are named otherwise: by their paths, or by their digests (`upload --names \
         content`); choose another URL, or, for an upload, the other --names"
    )]
    OtherNames {
        /// The destination.
        location: PathBuf,
    },
    /// A choice of shards that the dataset does not have.
    #[error("the choice of shards is empty: {detail}")]
    NoShards {
        /// What the dataset has.
        detail: String,
    },
    /// A shard in the directory of a download is of another dataset.
    #[error(
        "{path:?} is no shard of this dataset, and readers of its directory would take it; remove it, or choose another directory"
    )]
    OtherShard {
        /// The shard.
        path: PathBuf,
    },
    /// The directory of a download holds something else.
    #[error("{path:?} is another dataset or part of one; choose another directory")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
}

impl TransferError {
    /// Whether the same call may succeed later. If not, a person has to change the request or the dataset.
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::File(error) => !matches!(
                error.source.kind(),
                std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::Unsupported
                    | std::io::ErrorKind::InvalidInput
            ),
            Self::Altered { .. } | Self::Overtaken { .. } => true,
            Self::Dataset(error) => !matches!(error, DatasetError::NotADataset { .. }),
            Self::Damaged { .. }
            | Self::Unnamed { .. }
            | Self::OtherShard { .. }
            | Self::Busy { .. }
            | Self::OtherName { .. }
            | Self::OtherNames { .. }
            | Self::NoShards { .. }
            | Self::Occupied { .. } => false,
        }
    }
}
