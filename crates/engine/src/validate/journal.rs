//! Where an interrupted run finds what it has done: a journal in the work directory of its dataset.

use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::FileError;
use manyframe_base::files::work_directory;
use manyframe_core::Digest;

use crate::error::EngineError;

/// The journal of a run, named after a key of everything that its measures depend on. Creates its directory.
pub(super) fn journal_path(dataset: &Path, stem: &str, key: Digest) -> Result<PathBuf, EngineError> {
    let work = work_directory(dataset);
    fs::create_dir_all(&work).map_err(FileError::write(&work))?;
    Ok(work.join(format!("{stem}-{:016x}.jsonl", key.first_bits())))
}
