//! What every crate that does work needs: files that are read at any position and written at once, ordered parallel work,
//! progress, and notes that outlive a process.
//!
//! **Invariant:** nothing here knows of records, datasets or any other part of the domain.

mod column;
mod file_access;
pub mod files;
pub mod in_flight;
mod input_file;
mod memory;
mod parallel;
mod progress;
pub mod replacement;
mod shell;
pub mod staged_directory;
mod steady_file;
mod threads;

pub use column::{Arrangement, Column, ColumnPlace};
pub use file_access::{
    FileAccess, Listed, ObjectAccess, ObjectState, is_store_failure, is_url, store_failure, url_below, url_of,
};
pub use files::{AtomicFile, FileAction, FileError, write_atomic, write_json};
pub use input_file::{InputFile, InputReader, ReadAt, open_regular, read_regular};
pub use memory::memory_bytes;
pub use parallel::{Executor, OrderedMap};
pub use progress::{NoProgress, Progress, Step};
pub use shell::in_shell;
pub use staged_directory::StagedDirectory;
pub use steady_file::SteadyFile;
pub use threads::on_threads;
