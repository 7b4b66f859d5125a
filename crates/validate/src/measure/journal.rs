//! The journal of a run: one line of JSON per finished batch, so that an interrupted run continues where it stopped.
//!
//! A batch is in the journal or not: a truncated line does not count, and its batch runs again.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use manyframe_base::FileError;
use serde::{Deserialize, Serialize};

use super::sample::SampleMeasure;
use crate::error::ValidateError;

/// A journal, open for appending.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// The batches that were there when it was opened.
    batches: Vec<FinishedBatch>,
}

/// The measures of a batch.
#[derive(Serialize, Deserialize)]
struct FinishedBatch {
    /// Index of its first sample.
    first: usize,
    measures: Vec<SampleMeasure>,
}

impl Journal {
    /// Opens a journal; creates it if it does not exist.
    pub(super) fn open(path: &Path) -> Result<Self, ValidateError> {
        let mut file = File::options().create(true).append(true).open(path).map_err(FileError::write(path))?;
        let mut batches = Vec::new();
        for line in BufReader::new(File::open(path).map_err(FileError::read(path))?).split(b'\n') {
            // Lines that were cut off do not parse.
            batches.extend(serde_json::from_slice::<FinishedBatch>(&line.map_err(FileError::read(path))?));
        }
        // After a line that was cut off, the next batch needs a new line.
        file.write_all(b"\n").map_err(FileError::write(path))?;
        Ok(Self { path: path.to_owned(), file, batches })
    }

    /// The measures of a batch, if an earlier run did it.
    pub(super) fn take(&mut self, batch: &Range<usize>) -> Option<Vec<SampleMeasure>> {
        let is_batch = |done: &FinishedBatch| done.first == batch.start && done.measures.len() == batch.len();
        let done = self.batches.iter().position(is_batch)?;
        Some(self.batches.swap_remove(done).measures)
    }

    /// Adds a batch, and returns its measures.
    pub(super) fn append(
        &mut self,
        first: usize,
        measures: Vec<SampleMeasure>,
    ) -> Result<Vec<SampleMeasure>, ValidateError> {
        let batch = FinishedBatch { first, measures };
        let json = |source| ValidateError::Json { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(&batch).map_err(json)?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(FileError::write(&self.path))?;
        Ok(batch.measures)
    }
}
