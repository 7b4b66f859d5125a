//! The boundary to the Parquet library: a panic there on a damaged file becomes an error here.
//!
//! The library checks much, but not everything; the tests in `tests/foreign.rs` find files on which it panics. Nothing
//! that it owns is used again after a panic.

use std::path::{Path, PathBuf};

use arrow::record_batch::RecordBatch;
use manyframe_core::contained;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::errors::ParquetError;

use crate::error::ColumnarError;

/// Batches of rows. After an error there are no more.
pub(crate) struct RecordBatches {
    path: PathBuf,
    reader: Option<ParquetRecordBatchReader>,
}

/// Runs code of the library.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    contained(read).unwrap_or_else(|panic| Err(ParquetError::General(format!("the file contradicts itself: {panic}"))))
}

impl RecordBatches {
    pub(crate) fn new(path: &Path, reader: ParquetRecordBatchReader) -> Self {
        Self { path: path.to_owned(), reader: Some(reader) }
    }
}

impl Iterator for RecordBatches {
    type Item = Result<RecordBatch, ColumnarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        match guarded(|| Ok(reader.next())) {
            Ok(None) => None,
            Ok(Some(Ok(batch))) => {
                self.reader = Some(reader);
                Some(Ok(batch))
            }
            Ok(Some(Err(source))) => Some(Err(ColumnarError::Decode { path: self.path.clone(), source })),
            Err(source) => Some(Err(ColumnarError::Read { path: self.path.clone(), source })),
        }
    }
}
