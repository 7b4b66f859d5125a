//! What every crate that does work needs: atomic file writes, ordered parallel work, and progress.
//!
//! **Invariant:** nothing here knows of records, datasets or any other part of the domain.

pub mod files;
mod parallel;
mod progress;

pub use files::{AtomicFile, FileAction, FileError, StagedDirectory, write_atomic, write_json};
pub use parallel::{Executor, OrderedMap};
pub use progress::{NoProgress, Progress, Step};
