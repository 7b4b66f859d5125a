//! Why a model cannot be opened, written or run. A bad sample is never an error: it is counted.

use std::path::PathBuf;

use manyframe_base::FileError;

/// Why a model cannot be opened, written or run.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A JSON file of the model cannot be parsed.
    #[error("cannot parse {path:?}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A configuration has values that no model can have.
    #[error("{path:?} does not describe a model: {}", problems.join("; "))]
    Config {
        /// The file.
        path: PathBuf,
        /// Every value that is wrong.
        problems: Vec<String>,
    },
    /// A file of tensors is damaged.
    #[error("{path:?} is not a complete safetensors file: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// The tensors do not match the configuration.
    #[error("the tensors in {path:?} do not match its configuration:\n  {}", problems.join("\n  "))]
    Tensors {
        /// The model's directory.
        path: PathBuf,
        /// Every tensor that is missing, unexpected or of another shape, sorted.
        problems: Vec<String>,
    },
    /// A directory that is to be created exists.
    #[error("{path:?} exists; a model is only written into a new directory")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// The samples need something that the model does not have.
    #[error("the model cannot run these samples: {detail}")]
    Unfit {
        /// What is needed and what there is.
        detail: String,
    },
    /// A computation failed: memory, a device, a shape.
    #[error("cannot compute {what}")]
    Compute {
        /// What was being computed.
        what: &'static str,
        /// Why.
        source: candle_core::Error,
    },
    /// The table of measures cannot be written.
    #[error("cannot write the table {path:?}")]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: manyframe_columnar::ColumnarError,
    },
}

impl ValidateError {
    /// Whether the same call may succeed later: a disk or a device failed, and neither model nor samples are to blame.
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::File(_) | Self::Compute { .. } | Self::Table { .. } => true,
            Self::Json { .. }
            | Self::Config { .. }
            | Self::Damaged { .. }
            | Self::Tensors { .. }
            | Self::Occupied { .. }
            | Self::Unfit { .. } => false,
        }
    }

    pub(crate) fn compute(what: &'static str) -> impl FnOnce(candle_core::Error) -> Self {
        move |source| match source {
            // A backtrace through candle does not help users.
            candle_core::Error::WithBacktrace { inner, .. } => Self::Compute { what, source: *inner },
            source => Self::Compute { what, source },
        }
    }
}
