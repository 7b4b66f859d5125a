//! The journal of a run: one line of JSON per finished batch, so that an interrupted run continues where it stopped.
//!
//! A batch is in the journal or not: a truncated line does not count, and its batch runs again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use manyframe_base::FileError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::ValidateError;

/// A journal, open for appending.
pub(crate) struct Journal<M> {
    path: PathBuf,
    file: File,
    /// The batches that were there when it was opened, by their first.
    batches: BTreeMap<usize, Vec<M>>,
}

/// The measures of a batch.
#[derive(Serialize, Deserialize)]
struct FinishedBatch<M> {
    /// Index of its first sample.
    first: usize,
    measures: Vec<M>,
}

impl<M: Serialize + DeserializeOwned> Journal<M> {
    /// Opens a journal; creates it if it does not exist.
    pub(crate) fn open(path: &Path) -> Result<Self, ValidateError> {
        let mut file = File::options().create(true).append(true).open(path).map_err(FileError::write(path))?;
        let mut batches = BTreeMap::new();
        for line in BufReader::new(File::open(path).map_err(FileError::read(path))?).split(b'\n') {
            // Lines that were cut off do not parse.
            if let Ok(FinishedBatch { first, measures }) = serde_json::from_slice(&line.map_err(FileError::read(path))?)
            {
                batches.insert(first, measures);
            }
        }
        // After a line that was cut off, the next batch needs a new line.
        file.write_all(b"\n").map_err(FileError::write(path))?;
        Ok(Self { path: path.to_owned(), file, batches })
    }

    /// The measures of a batch, if an earlier run did it.
    pub(crate) fn take(&mut self, batch: &Range<usize>) -> Option<Vec<M>> {
        self.batches.remove(&batch.start).filter(|measures| measures.len() == batch.len())
    }

    /// Adds a batch, and returns its measures.
    pub(crate) fn append(&mut self, first: usize, measures: Vec<M>) -> Result<Vec<M>, ValidateError> {
        let batch = FinishedBatch { first, measures };
        let json = |source| ValidateError::Json { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(&batch).map_err(json)?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(FileError::write(&self.path))?;
        Ok(batch.measures)
    }
}
