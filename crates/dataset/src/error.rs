//! Errors of reading and writing a dataset.

use std::path::PathBuf;

use manyframe_base::FileError;
use manyframe_columnar::ColumnarError;
use manyframe_shards::ShardError;
use manyframe_storage::StorageError;

/// Why a dataset, or a part of it, cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The URL of a dataset cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A table, such as the ledger, cannot be read or written.
    #[error("cannot read or write the table {path:?}")]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: ColumnarError,
    },
    /// A shard cannot be read.
    #[error("cannot read shard {path:?}")]
    Shard {
        /// The shard.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: ShardError,
    },
    /// A directory is not a dataset, or a file in it is not what it should be.
    #[error("{path:?} is not a manyframe dataset: {detail}")]
    NotADataset {
        /// The directory or file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
}

impl DatasetError {
    pub(crate) fn table(path: impl Into<PathBuf>) -> impl FnOnce(ColumnarError) -> Self {
        let path = path.into();
        move |error| Self::Table { path, error }
    }

    /// The error of a shard that cannot be read.
    pub fn shard(path: impl Into<PathBuf>) -> impl FnOnce(ShardError) -> Self {
        let path = path.into();
        move |error| Self::Shard { path, error }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers pass errors and texts that they need no more")]
    pub(crate) fn damaged(path: impl Into<PathBuf>, detail: impl ToString) -> Self {
        Self::NotADataset { path: path.into(), detail: detail.to_string() }
    }
}
