//! The boundary to the Parquet library: a panic there on a damaged file becomes an error here.
//!
//! The library checks much, but not everything; the tests in `tests/foreign.rs` find files on which it panics. Nothing
//! that it owns is used again after a panic.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use manyframe_core::contained;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::errors::ParquetError;

use crate::error::ColumnarError;
use crate::pages::{GroupPart, Pages};

/// Batches of rows. After an error there are no more.
pub(crate) struct RecordBatches {
    path: PathBuf,
    reader: Option<ParquetRecordBatchReader>,
    fallback: Option<Fallback>,
}

/// The rows that were not read yet, to read them without a page index if they cannot be read by it.
pub(crate) struct Fallback {
    pub(crate) pages: Arc<Pages>,
    pub(crate) part: GroupPart,
}

/// Runs code of the library.
pub(crate) fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    contained(read).unwrap_or_else(|panic| Err(ParquetError::General(format!("the file contradicts itself: {panic}"))))
}

impl RecordBatches {
    pub(crate) fn new(path: &Path, reader: ParquetRecordBatchReader, fallback: Option<Fallback>) -> Self {
        Self { path: path.to_owned(), reader: Some(reader), fallback }
    }

    fn read(&mut self) -> Option<Result<RecordBatch, ColumnarError>> {
        let mut reader = self.reader.take()?;
        match guarded(|| Ok(reader.next())) {
            Ok(None) => None,
            Ok(Some(Ok(batch))) => {
                if let Some(fallback) = &mut self.fallback {
                    fallback.part.rows.start += batch.num_rows() as u64;
                }
                self.reader = Some(reader);
                Some(Ok(batch))
            }
            Ok(Some(Err(source))) => Some(Err(ColumnarError::Decode { path: self.path.clone(), source })),
            Err(source) => Some(Err(ColumnarError::Read { path: self.path.clone(), source })),
        }
    }
}

impl Iterator for RecordBatches {
    type Item = Result<RecordBatch, ColumnarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.read();
        if let Some(Err(_)) = batch
            && let Some(Fallback { pages, part }) = self.fallback.take()
            && let Ok(reader) = guarded(|| pages.reader_without_index(&part))
        {
            self.reader = Some(reader);
            return self.read();
        }
        batch
    }
}
