//! Errors of media and of media roots.
//!
//! They are separate because their consequences differ: a bad medium rejects one record, a storage error fails a task
//! that may be retried, and a media root that cannot be opened stops a run before it starts.

use std::io;
use std::path::PathBuf;

use manyframe_core::{RejectCode, Rejection};

/// Why a medium was not read, decoded or encoded.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The medium is bad: the record that shows it is rejected.
    #[error("{}", .0.detail)]
    Rejected(Rejection),
    /// The storage failed (I/O error, stale handle, too many open files …); nothing is known about the medium.
    #[error("cannot read {path:?}")]
    Storage {
        /// The file that was being read.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl MediaError {
    /// A bad medium: what was found and what was expected.
    pub fn rejected(code: RejectCode, detail: impl Into<String>) -> Self {
        Self::Rejected(Rejection::new(code, detail))
    }

    /// A storage failure at `path`, the file of a medium. One that may not be read is no failure, but a bad medium.
    pub fn storage(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        if source.kind() == io::ErrorKind::PermissionDenied {
            // Where it is on this machine does not belong into a dataset. Whoever looked for it says its name.
            return Self::rejected(RejectCode::MediaUnreadable, format!("it may not be read: {source}"));
        }
        Self::Storage { path, source }
    }
}

impl From<Rejection> for MediaError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Why a media root was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing at the path, or it is not readable.
    #[error("cannot open media root {path:?}")]
    Open {
        /// The root.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not an archive, or one without access to single members.
    #[error("media root {path:?} is {found}; {advice}")]
    Unsupported {
        /// The root.
        path: PathBuf,
        /// A description of the file, with an article.
        found: &'static str,
        /// What to do about it, for example a command line.
        advice: String,
    },
    /// The file is a zip archive whose central directory, at its end, cannot be read.
    #[error("media root {path:?} is a damaged zip archive, perhaps cut short; download it again")]
    Damaged {
        /// The root.
        path: PathBuf,
        /// What the reader of the directory said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
