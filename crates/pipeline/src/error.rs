//! Why a pipeline cannot be read.

use std::io;
use std::path::PathBuf;

use crate::pattern::PatternError;
use crate::problem::Problem;

/// Why a pipeline cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The pipeline file has errors. All of them are listed.
    #[error("{} in the pipeline file", count_errors(.0.len()))]
    Invalid(Vec<Problem>),
    /// A pipeline file, or a directory of them, cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A directory contains no pipeline file.
    #[error("{directory:?} contains no pipeline file (*.toml)")]
    NoStages {
        /// The directory.
        directory: PathBuf,
    },
    /// Pipeline files refer to one another in a cycle, so none of them can be built first.
    #[error("these pipeline files depend on each other in a cycle: {files:?}")]
    CyclicStages {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// The annotation files of a source cannot be found.
    #[error("source {source_name:?}: annotations {pattern:?}: {detail}")]
    Annotations {
        /// The source.
        source_name: String,
        /// The path or pattern.
        pattern: String,
        /// What is wrong with it.
        detail: PatternError,
    },
    /// A media root of a source cannot be found.
    #[error("source {source_name:?}: media {pattern:?}: {detail}")]
    MediaRoot {
        /// The source.
        source_name: String,
        /// The path or pattern.
        pattern: String,
        /// What is wrong with it.
        detail: PatternError,
    },
}

impl PipelineError {
    /// Whether another attempt may succeed although neither the pipeline file nor its inputs changed.
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::Read { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
            }
            Self::Annotations { detail, .. } | Self::MediaRoot { detail, .. } => detail.may_be_retried,
            Self::Invalid(_) | Self::NoStages { .. } | Self::CyclicStages { .. } => false,
        }
    }
}

fn count_errors(number: usize) -> String {
    if number == 1 { "1 error".to_owned() } else { format!("{number} errors") }
}
