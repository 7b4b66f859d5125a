//! Why a source cannot be read. A record that is bad is not an error: it becomes a reject.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_columnar::ColumnarError;
use manyframe_core::Origin;

use crate::json::{NotRecords, ReadError};
use crate::options::OptionProblem;

/// What could not be done with a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source has no file to read.
    #[error("source {name:?} has no annotation file")]
    NoAnnotations {
        /// Name of the source.
        name: Arc<str>,
    },
    /// Two files would have the same origins.
    #[error("source {name:?} has two annotation files named {file:?}")]
    RepeatedName {
        /// Name of the source.
        name: Arc<str>,
        /// Name of the files.
        file: Arc<str>,
    },
    /// A path that cannot be written into records.
    #[error("the path {path:?} is not valid Unicode")]
    PathEncoding {
        /// The path.
        path: PathBuf,
    },
    /// An option is not allowed; [`SourceKind::option_problems`](crate::SourceKind::option_problems) returns all of them.
    #[error("cannot read source {name:?} as configured")]
    Options {
        /// Name of the source.
        name: Arc<str>,
        /// The first problem.
        #[source]
        problem: OptionProblem,
    },
    /// An annotation file could not be read from disk.
    #[error("cannot read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A Parquet file could not be read.
    #[error("cannot read rows of {path:?}")]
    Rows {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ColumnarError,
    },
    /// The file does not contain records.
    #[error("{path:?} is {found}; expected a JSON array, JSON lines, CSV, TSV or Parquet: {advice}")]
    NotRecords {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
        /// What to do about it.
        advice: String,
    },
    /// Records are to be merged that have nothing in common.
    #[error(
        "{path:?} is a directory or tar of images with texts beside them, where merge has no effect: each record has its own image"
    )]
    NothingToMerge {
        /// The directory or tar.
        path: PathBuf,
    },
    /// A table beside the annotations cannot be used.
    #[error("cannot use the table {path:?}: {detail}")]
    Side {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The needles in an annotation file do not make an evaluation set.
    #[error("cannot make questions of the needles in {path:?}: {detail}")]
    Needles {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        detail: String,
    },
    /// A pattern of `[source.needles]` matches nothing.
    #[error("no file in a directory of media matches {pattern:?}; archives and stores need paths without wildcards")]
    NoHaystack {
        /// The pattern.
        pattern: String,
    },
    /// A source of haystacks has none.
    #[error("source {name:?} of haystacks has no {what} that can be one")]
    NoHaystackOfSource {
        /// The other source.
        name: String,
        /// What was looked for.
        what: &'static str,
    },
    /// A split or origin names a file that the source does not have.
    #[error("source {name:?} has no annotation file {file:?}")]
    UnknownFile {
        /// Name of the source.
        name: Arc<str>,
        /// The name asked for.
        file: Arc<str>,
    },
    /// The file has no record at an origin.
    #[error("{path:?} has no record at {origin}; the file is not the one that was read before")]
    UnknownOrigin {
        /// The file.
        path: PathBuf,
        /// The origin asked for.
        origin: Origin,
    },
}

impl SourceError {
    /// What went wrong with a file.
    pub(crate) fn of(path: &Path, error: ReadError) -> Self {
        let path = path.to_owned();
        match error {
            ReadError::Io(source) => Self::Read { path, source },
            ReadError::Rows(source) => Self::Rows { path, source },
            ReadError::NotRecords(NotRecords { found, advice }) => {
                Self::NotRecords { path, found: found.into_owned(), advice: advice.into_owned() }
            }
        }
    }
}
