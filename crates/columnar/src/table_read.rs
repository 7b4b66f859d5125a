//! Reading plain tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::Length;

use crate::chunks::FileChunks;
use crate::file::check_chunks;
use crate::guard::{RecordBatches, guarded};
use crate::nesting::check_nesting;
use crate::table_write::DESCRIPTION;
use crate::{Column, ColumnKind, ColumnSpec, ColumnarError};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;

/// An open table. Opening reads the footer only.
#[derive(Debug, Clone)]
pub struct TableReader {
    path: PathBuf,
    chunks: FileChunks,
    metadata: ArrowReaderMetadata,
    columns: Vec<ColumnSpec>,
}

/// Batches of rows in order, each with the columns asked for, in the order asked for. After an error there are no more.
pub struct Batches {
    path: PathBuf,
    /// For each column asked for: its position in a batch, and itself.
    columns: Vec<(usize, ColumnSpec)>,
    records: RecordBatches,
}

impl TableReader {
    /// Opens a table and reads its footer. Columns of other types than [`ColumnKind`] has are an error.
    pub fn open(path: &Path) -> Result<Self, ColumnarError> {
        let chunks = FileChunks::open(path).map_err(|source| ColumnarError::Open { path: path.to_owned(), source })?;
        let load = || {
            check_nesting(&chunks)?;
            let metadata = ArrowReaderMetadata::load(&chunks, ArrowReaderOptions::new())?;
            check_chunks(metadata.metadata(), chunks.len())?;
            Ok(metadata)
        };
        let metadata = guarded(load).map_err(|source| ColumnarError::Read { path: path.to_owned(), source })?;
        let columns = metadata
            .schema()
            .fields()
            .iter()
            .map(|field| {
                let kind = ColumnKind::of(field.data_type()).ok_or_else(|| ColumnarError::ColumnType {
                    path: path.to_owned(),
                    column: field.name().clone(),
                    found: field.data_type().to_string(),
                    expected: "text, an integer of 64 bits, a double, a truth value or 16 bytes".to_owned(),
                })?;
                let doc = field.metadata().get(DESCRIPTION).cloned().unwrap_or_default();
                Ok(ColumnSpec { name: field.name().clone(), kind, doc })
            })
            .collect::<Result<_, ColumnarError>>()?;
        Ok(Self { path: path.to_owned(), chunks, metadata, columns })
    }

    /// The columns.
    pub fn columns(&self) -> &[ColumnSpec] {
        &self.columns
    }

    /// A value of the footer's key-value pairs.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let pairs = self.metadata.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// Number of rows.
    pub fn num_rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// All rows, with the named columns only.
    pub fn batches(&self, columns: &[&str]) -> Result<Batches, ColumnarError> {
        let positions = columns.iter().map(|name| self.position(name)).collect::<Result<Vec<_>, _>>()?;
        let mut read = positions.clone();
        read.sort_unstable();
        read.dedup();
        let columns = positions
            .iter()
            .filter_map(|position| Some((read.binary_search(position).ok()?, self.columns.get(*position)?.clone())))
            .collect();
        let roots = ProjectionMask::roots(self.metadata.parquet_schema(), read);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), self.metadata.clone())
            .with_projection(roots)
            .with_batch_size(BATCH_ROWS);
        let reader =
            guarded(|| builder.build()).map_err(|source| ColumnarError::Read { path: self.path.clone(), source })?;
        Ok(Batches { path: self.path.clone(), columns, records: RecordBatches::new(&self.path, reader) })
    }

    fn position(&self, column: &str) -> Result<usize, ColumnarError> {
        self.columns.iter().position(|spec| spec.name == column).ok_or_else(|| ColumnarError::ColumnMissing {
            path: self.path.clone(),
            column: column.to_owned(),
            found: self.columns.iter().map(|spec| spec.name.clone()).collect(),
        })
    }
}

impl Batches {
    /// The columns of the next batch, each of the type of its kind.
    pub(crate) fn next_arrays(&mut self) -> Option<Result<Vec<ArrayRef>, ColumnarError>> {
        let batch = self.records.next()?;
        Some(batch.and_then(|batch| self.columns(&batch, |_, array| Some(Arc::clone(array)))))
    }

    fn columns<T>(
        &self,
        batch: &RecordBatch,
        column_of: impl Fn(ColumnKind, &ArrayRef) -> Option<T>,
    ) -> Result<Vec<T>, ColumnarError> {
        let columns = self.columns.iter().map(|(position, spec)| {
            let array = batch.columns().get(*position).filter(|array| *array.data_type() == spec.kind.data_type());
            let column = array.and_then(|array| column_of(spec.kind, array));
            column.ok_or_else(|| ColumnarError::ColumnType {
                path: self.path.clone(),
                column: spec.name.clone(),
                found: batch.schema().to_string(),
                expected: format!("{:?}", spec.kind),
            })
        });
        columns.collect()
    }
}

impl Iterator for Batches {
    type Item = Result<Vec<Column>, ColumnarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.records.next()?;
        Some(batch.and_then(|batch| self.columns(&batch, Column::from_array)))
    }
}
