//! What can go wrong.

use std::path::PathBuf;

use manyframe_dataset::DatasetError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A build replaced the dataset while it was read, so that the page would be about two.
    #[error("{path:?} was replaced in the meantime; try again")]
    Replaced {
        /// The manifest.
        path: PathBuf,
    },
    /// A drawing cannot be made a picture.
    #[error("cannot draw a picture: {detail}")]
    Drawing {
        /// Why.
        detail: String,
    },
    /// The page cannot be filled in.
    #[error("cannot fill in the page")]
    Page(#[from] minijinja::Error),
}
