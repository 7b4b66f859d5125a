//! What every crate that does work needs: files that appear whole, parallel work in order, and progress.
//!
//! **Invariant:** nothing here knows of records, datasets or any other part of the domain.

pub mod files;
mod parallel;
mod progress;

pub use files::{AtomicFile, FileAction, FileError, StagedDirectory, write_atomic, write_json};
pub use parallel::{Executor, OrderedMap};
pub use progress::{NoProgress, Progress, Step};
