//! Why a task failed on some machine, beside its directory: `DIRECTORY/failed/NNNNNN.json`.
//!
//! The engine that started it may see nothing of its process but that it ended. A note is not a state: a task with one runs again
//! like any other.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use manyframe_base::files::host_name;
use manyframe_base::{FileError, write_json};
use serde::{Deserialize, Serialize};

use crate::error::{EngineError, with_causes};

/// The last failure of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The task.
    pub(crate) task: u32,
    /// The machine.
    pub(crate) host: String,
    /// What went wrong, with its causes.
    pub(crate) error: String,
    /// Whether trying again may help.
    pub(crate) may_be_retried: bool,
}

impl Failure {
    /// A failure on this machine.
    pub(crate) fn of(task: u32, error: &EngineError) -> Self {
        Self { task, host: host_name(), error: with_causes(error), may_be_retried: error.may_be_retried() }
    }
}

impl From<Failure> for EngineError {
    fn from(Failure { task, host, error, may_be_retried }: Failure) -> Self {
        Self::TaskFailed { task, host, error, may_be_retried }
    }
}

/// Notes why a task failed on this machine. What cannot be noted is logged: the exit code says the rest.
pub(crate) fn note_failure(directory: &Path, task: u32, error: &EngineError) {
    if !directory.is_dir() {
        return;
    }
    if let Err(error) = write_json(&failure_path(directory, task), &Failure::of(task, error)) {
        tracing::warn!(task, %error, "why the task failed cannot be noted");
    }
}

/// Forgets the failure of a task, if there is one.
pub(crate) fn forget_failure(directory: &Path, task: u32) {
    // One that stays is overwritten by the next one, and otherwise only read if the task is not done.
    _ = fs::remove_file(failure_path(directory, task));
}

/// The failures in a directory, in the order of tasks.
///
/// # Errors
///
/// If they cannot be listed. One that cannot be read is none: it may be removed at this moment.
pub(crate) fn list_failures(directory: &Path) -> Result<Vec<Failure>, FileError> {
    let mut failures = Vec::new();
    for path in list_numbered(&directory.join("failed"))?.into_values() {
        let text = fs::read(path).ok();
        failures.extend(text.and_then(|text| serde_json::from_slice::<Failure>(&text).ok()));
    }
    Ok(failures)
}

/// The files of tasks in a directory, by task; none if there is no directory.
pub(crate) fn list_numbered(directory: &Path) -> Result<BTreeMap<u32, PathBuf>, FileError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries.map_err(FileError::read(directory))?,
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(FileError::read(directory))?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        // Temporary files begin with a dot.
        if let Some(number) = number {
            files.insert(number, path);
        }
    }
    Ok(files)
}

/// Where the note about a task is.
pub(crate) fn failure_path(directory: &Path, task: u32) -> PathBuf {
    directory.join(failure_name(task))
}

/// The name of the note about a task, below its directory.
pub(crate) fn failure_name(task: u32) -> String {
    format!("failed/{task:06}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_back_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(list_failures(directory.path()).unwrap(), []);
        note_failure(directory.path(), 7, &EngineError::NoSuchTask { task: 7, last: 2 });
        let found = list_failures(directory.path()).unwrap();
        assert_eq!((found.len(), found[0].task, found[0].may_be_retried), (1, 7, false));
        assert!(found[0].error.contains("its tasks are 0 to 2"), "{found:?}");
        forget_failure(directory.path(), 7);
        assert_eq!(list_failures(directory.path()).unwrap(), []);
    }
}
