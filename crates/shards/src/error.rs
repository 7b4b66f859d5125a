//! Errors of reading and writing shards.

use std::io;
use std::path::PathBuf;

use manyframe_columnar::ColumnarError;
use manyframe_core::RecordId;

/// What could not be done with a shard.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The shard could not be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// The shard.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shard could not be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The shard.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The shard could not be written.
    #[error("cannot write the shard")]
    Write {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A Parquet shard could not be written.
    #[error("cannot write the shard")]
    WriteTable {
        /// Why.
        #[source]
        source: ColumnarError,
    },
    /// Energon's index of tars could not be written.
    #[error("cannot write {path:?}")]
    Index {
        /// The database.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// A Parquet shard could not be read.
    #[error("cannot read {path:?}")]
    ReadTable {
        /// The shard.
        path: PathBuf,
        /// Why.
        source: ColumnarError,
    },
    /// The shard is not a tar from here on.
    #[error("{path:?} is damaged at byte {offset}: {detail}")]
    Tar {
        /// The shard.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found and what was expected.
        detail: String,
    },
    /// A member of a tar, or a row of a table, is not what it should be.
    #[error("{member:?} of {path:?} is damaged: {detail}")]
    Member {
        /// The shard.
        path: PathBuf,
        /// The member's name, or the sample's id.
        member: String,
        /// What was found and what was expected.
        detail: String,
    },
    /// A sample cannot be stored.
    #[error("sample {id} cannot be stored: {detail}")]
    Sample {
        /// The sample.
        id: RecordId,
        /// Why.
        detail: String,
    },
    /// The path is not UTF-8, so that images in it cannot be referred to.
    #[error("{path:?} is not UTF-8")]
    PathText {
        /// The shard.
        path: PathBuf,
    },
}
