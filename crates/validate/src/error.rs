//! What keeps a model from being loaded or run. A bad sample is never an error: it is counted.

use std::io;
use std::path::PathBuf;

use manyframe_base::FileError;

/// Why a model cannot be loaded, written or run.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// A file of the model cannot be read.
    #[error("cannot read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file cannot be written whole.
    #[error(transparent)]
    File(#[from] FileError),
    /// A JSON file of the model has another form.
    #[error("cannot understand {path:?}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A configuration asks for what no model can be.
    #[error("{path:?} does not describe a model: {}", problems.join("; "))]
    Config {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        problems: Vec<String>,
    },
    /// A file of tensors is damaged.
    #[error("{path:?} is not a whole safetensors file: {detail}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// The tensors are not those that the configuration asks for.
    #[error("the tensors in {path:?} are not those of its configuration:\n  {}", problems.join("\n  "))]
    Tensors {
        /// The directory.
        path: PathBuf,
        /// Everything missing, surplus or misshapen, in the order of names.
        problems: Vec<String>,
    },
    /// The directory is not empty.
    #[error("{path:?} exists; a model is written into a new directory only")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// The model cannot do what a sample asks for.
    #[error("the model cannot take these samples: {detail}")]
    Unfit {
        /// What was asked and what it can do.
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
    /// The table of measures cannot be written or read.
    #[error("cannot write or read the measures in {path:?}")]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: manyframe_columnar::ColumnarError,
    },
}

impl ValidateError {
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }

    pub(crate) fn compute(what: &'static str) -> impl FnOnce(candle_core::Error) -> Self {
        move |source| match source {
            // A trace through candle tells users nothing.
            candle_core::Error::WithBacktrace { inner, .. } => Self::Compute { what, source: *inner },
            source => Self::Compute { what, source },
        }
    }
}
