//! What can go wrong.

use manyframe_dataset::DatasetError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The dataset cannot be read.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
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
