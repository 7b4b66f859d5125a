//! Why a plan cannot be made.

use std::io;
use std::path::{Path, PathBuf};

use manyframe_base::{FileAction, FileError, is_store_failure, is_url};
use manyframe_core::SourceIndex;
use manyframe_dataset::DatasetError;
use manyframe_pipeline::PipelineError;

/// Why a plan cannot be made, or a made one cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The pipeline file has errors, or names files that do not exist.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A file that is planned from cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file that manyframe keeps cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A source cannot be read at all.
    #[error("cannot read source {source_name:?}")]
    Source {
        /// The source.
        source_name: String,
        /// The cause.
        #[source]
        error: manyframe_sources::SourceError,
    },
    /// A media root cannot be opened.
    #[error("source {source_name:?}: cannot open its media")]
    Media {
        /// The source.
        source_name: String,
        /// The cause.
        #[source]
        error: manyframe_media::OpenError,
    },
    /// Storage failed while media were read.
    #[error("storage error while reading media")]
    Storage(#[source] manyframe_media::MediaError),
    /// The tokenizer cannot be loaded, or does not fit the format.
    #[error("cannot set up the text format")]
    Format(#[source] manyframe_format::FormatError),
    /// A table of the work directory (index, fingerprints, records) cannot be written or read.
    #[error(transparent)]
    Table(#[from] DatasetError),
    /// A file that manyframe wrote does not hold what it should.
    #[error("{path:?} is not what this version of manyframe writes: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// A dataset named by a source cannot be read.
    #[error("source {source_name:?}: cannot read the dataset that it names")]
    Dataset {
        /// The source.
        source_name: String,
        /// The cause.
        #[source]
        error: DatasetError,
    },
    /// A shard of a dataset that is replayed has other bytes than its manifest says.
    #[error(
        "source {source_name:?}: {path:?} is not the file that the manifest of its dataset names; copy or download it again, or build the dataset again"
    )]
    OtherShard {
        /// The source.
        source_name: String,
        /// The shard.
        path: PathBuf,
    },
    /// A dataset that is replayed holds a source whose license the mix does not allow.
    #[error(
        "source {source_name:?}: {replayed:?} in the dataset that it replays has {}, which is not among mix.licenses",
        license_named(license)
    )]
    License {
        /// The source.
        source_name: String,
        /// The source of the dataset.
        replayed: String,
        /// Its license; empty if that is not stated, or was not kept by the version that replayed it.
        license: String,
    },
    /// A dataset of `delivered_in` or `not_delivered_in` shares no file with the source.
    #[error(
        "source {source_name:?}: {dataset:?} was built from {built_from:?} and not from {file:?}; write paths alike in both files"
    )]
    NoSharedFile {
        /// The source.
        source_name: String,
        /// The dataset.
        dataset: String,
        /// A file that the dataset was built from.
        built_from: String,
        /// A file that the source reads.
        file: String,
    },
    /// Images that no sample may show cannot be found.
    #[error("decontamination.against {pattern:?}: {detail}")]
    Decontamination {
        /// The path or pattern.
        pattern: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A dataset whose images no sample may show cannot be read.
    #[error("decontamination.against {pattern:?}: cannot read the dataset")]
    UnwantedDataset {
        /// The path.
        pattern: String,
        /// The cause.
        #[source]
        error: DatasetError,
    },
    /// There are more records than a plan can have.
    #[error("there are more than 4,294,967,295 records, which is the most that a plan can have")]
    TooManyRecords,
    /// The sources cannot be mixed as the pipeline file asks.
    #[error("cannot mix the sources as the pipeline file specifies")]
    Mix(#[source] manyframe_samplers::MixError),
    /// A sample is of a source that the pipeline file does not have.
    #[error("a sample is of source number {source_index}, which the pipeline file does not have")]
    NoSuchSource {
        /// The source.
        source_index: SourceIndex,
    },
    /// What prompts have besides their texts cannot be counted, which the audit of packs needs.
    #[error("cannot audit packs: {detail}")]
    NoOverhead {
        /// Why.
        detail: String,
    },
    /// There are more samples than can be packed.
    #[error("cannot pack the samples")]
    Pack(#[source] manyframe_samplers::TooManySamples),
}

fn license_named(license: &str) -> String {
    if license.is_empty() {
        return "a license that its manifest does not state".to_owned();
    }
    format!("the license {license:?}")
}

impl PlanError {
    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.into() }
    }

    /// Whether another attempt may succeed although neither the pipeline file nor its inputs changed.
    pub fn may_be_retried(&self) -> bool {
        use manyframe_media::OpenError;
        use manyframe_sources::SourceError;
        // Answers of a store that are not about an object.
        let is_failure = |error: &FileError| is_url(&error.path) && error.source.kind() != io::ErrorKind::NotFound;
        match self {
            Self::Pipeline(error) => error.may_be_retried(),
            Self::Read { source, .. } | Self::Source { error: SourceError::Read { source, .. }, .. } => {
                source.kind() != io::ErrorKind::NotFound
            }
            Self::File(FileError { action: FileAction::Read, source, .. }) => source.kind() != io::ErrorKind::NotFound,
            // What its bytes are is not known.
            Self::Source { error: SourceError::Rows { path, .. }, .. } => is_url(path),
            Self::Media { error: OpenError::Open { source, .. }, .. } => is_store_failure(source),
            Self::Dataset { error: DatasetError::File(error), .. }
            | Self::UnwantedDataset { error: DatasetError::File(error), .. } => is_failure(error),
            Self::File(_) | Self::Storage(_) | Self::Table(_) | Self::Damaged { .. } => true,
            _ => false,
        }
    }
}
