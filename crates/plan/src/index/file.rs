//! The files of an index.
//!
//! ```text
//! WORK/index/SOURCE-DIGEST.parquet                 a row for every record of a split, or of several small ones
//!            SOURCE-DIGEST.media.parquet           the media of its records
//!            SOURCE-DIGEST.fingerprints.parquet    what its images look like, where the pipeline file asks for that
//! ```

use std::path::{Path, PathBuf};

use manyframe_core::SourceIndex;
use serde::{Deserialize, Serialize};

/// The index file of a split, or of several small ones.
#[derive(Debug, Clone)]
pub(crate) struct IndexFile {
    pub(crate) source: SourceIndex,
    pub(crate) path: PathBuf,
    /// Annotation files, or parts of one, that it is made of.
    pub(crate) num_splits: u64,
    /// Whether it was made now.
    pub(crate) was_read: bool,
}

impl IndexFile {
    /// The table of media beside it.
    pub(crate) fn media_path(&self) -> PathBuf {
        media_path(&self.path)
    }
}

/// The table of media beside an index file.
pub(crate) fn media_path(index: &Path) -> PathBuf {
    index.with_extension("media.parquet")
}

/// Files that are computed from an index file and kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DerivedFile {
    /// Fingerprints of images; videos are represented by their bytes.
    ImageFingerprints,
    /// Fingerprints of images and of frames of videos.
    FrameFingerprints,
}

impl DerivedFile {
    pub(crate) const ALL: [Self; 2] = [Self::ImageFingerprints, Self::FrameFingerprints];

    /// Its path beside an index file.
    pub(crate) fn beside(self, index: &Path) -> PathBuf {
        index.with_extension(match self {
            Self::ImageFingerprints => "fingerprints.parquet",
            Self::FrameFingerprints => "frames.parquet",
        })
    }
}
