//! Work that is divided into tasks without a plan: what is to be done, and what each task found, as files of a directory.
//!
//! ```text
//! DIRECTORY/NAME.json           the order
//! DIRECTORY/done/NNNNNN.json    what a task found
//! ```

use std::fs;
use std::path::Path;

use manyframe_base::{FileAction, FileError, write_json};
use manyframe_plan::PlanError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::EngineError;
use crate::report::report_path;

/// Reads an order.
pub(crate) fn read_order<T: DeserializeOwned>(path: &Path) -> Result<T, EngineError> {
    let text = fs::read(path).map_err(FileError::read(path))?;
    serde_json::from_slice(&text)
        .map_err(|error| EngineError::Plan(PlanError::Damaged { path: path.to_owned(), detail: error.to_string() }))
}

/// Writes an order, with its directory, unless it is there. What was done of another one is forgotten.
pub(crate) fn write_order<T>(directory: &Path, name: &str, order: &T) -> Result<(), EngineError>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    let path = directory.join(name);
    if read_order::<T>(&path).ok().as_ref() == Some(order) {
        return Ok(());
    }
    for done in ["done", "failed"].map(|name| directory.join(name)) {
        if done.exists() {
            fs::remove_dir_all(&done).map_err(FileError::when(FileAction::Remove, done))?;
        }
    }
    fs::create_dir_all(directory).map_err(FileError::write(directory))?;
    write_json(&path, order)?;
    Ok(())
}

/// What a task found.
pub(crate) fn read_found<T: DeserializeOwned>(directory: &Path, task: u32) -> Result<T, EngineError> {
    read_order(&report_path(directory, task))
}
