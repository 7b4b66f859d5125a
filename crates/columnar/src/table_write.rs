//! Writing plain tables.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::{Column, ColumnKind, ColumnSpec, ColumnarError};

/// Who wrote the file, as its footer says. Without a version: the same table is the same bytes.
const CREATED_BY: &str = "manyframe";
/// Rows of a row group of a plain table.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Rows that are encoded at once: pages end between these, wherever the batches of the caller do.
pub(crate) const BATCH_ROWS: usize = 8192;
/// Key of a field's metadata that holds its description; `DuckDB`, `pyarrow` and others show it.
pub(crate) const DESCRIPTION: &str = "description";

/// Writes a table. The same rows give the same bytes, however they are cut into batches.
pub struct TableWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    pending: BatchCoalescer,
    schema: SchemaRef,
    kinds: Vec<ColumnKind>,
}

impl<W: Write + Send> TableWriter<W> {
    /// Starts a table with these columns, and key-value pairs that are kept in its footer.
    pub fn new(sink: W, columns: &[ColumnSpec], metadata: &[(String, String)]) -> Result<Self, ColumnarError> {
        Self::without_dictionaries(sink, columns, metadata, [])
    }

    /// Starts a table, some of whose columns are stored without a dictionary of their values.
    pub(crate) fn without_dictionaries<'c>(
        sink: W,
        columns: &[ColumnSpec],
        metadata: &[(String, String)],
        names: impl IntoIterator<Item = &'c str>,
    ) -> Result<Self, ColumnarError> {
        let fields: Vec<_> = columns.iter().map(field).collect();
        let schema = Arc::new(schema_with_metadata(Schema::new(fields), metadata));
        let properties = fixed_properties(metadata)?.set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
        let without_dictionary = |properties: WriterPropertiesBuilder, name: &str| {
            properties.set_column_dictionary_enabled(ColumnPath::from(name), false)
        };
        let properties = names.into_iter().fold(properties, without_dictionary).build();
        let writer = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties)).map_err(cannot_write)?;
        let pending = BatchCoalescer::new(Arc::clone(&schema), BATCH_ROWS);
        Ok(Self { writer, pending, schema, kinds: columns.iter().map(|column| column.kind).collect() })
    }

    /// Appends rows: one value list per column, in the order of the columns, all of one length.
    pub fn write(&mut self, batch: Vec<Column>) -> Result<(), ColumnarError> {
        self.check(&batch)?;
        let arrays = batch.into_iter().map(Column::into_array).collect::<Result<Vec<_>, _>>();
        self.write_arrays(arrays.map_err(cannot_encode)?)
    }

    /// Appends rows whose columns have the types of this table.
    pub(crate) fn write_arrays(&mut self, arrays: Vec<ArrayRef>) -> Result<(), ColumnarError> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        batch.and_then(|batch| self.pending.push_batch(batch)).map_err(cannot_encode)?;
        self.write_completed()
    }

    /// Writes the footer, flushes, and gives the sink back.
    pub fn finish(mut self) -> Result<W, ColumnarError> {
        self.pending.finish_buffered_batch().map_err(cannot_encode)?;
        self.write_completed()?;
        flushed(self.writer)
    }

    fn write_completed(&mut self) -> Result<(), ColumnarError> {
        while let Some(batch) = self.pending.next_completed_batch() {
            self.writer.write(&batch).map_err(cannot_write)?;
        }
        Ok(())
    }

    fn check(&self, batch: &[Column]) -> Result<(), ColumnarError> {
        let expected_rows = batch.first().map_or(0, Column::num_rows);
        for index in 0..batch.len().max(self.kinds.len()) {
            let (column, expected) = (batch.get(index), self.kinds.get(index).copied());
            let (found, num_rows) = (column.map(Column::kind), column.map_or(0, Column::num_rows));
            if found != expected || num_rows != expected_rows {
                return Err(ColumnarError::BatchShape { index, found, num_rows, expected, expected_rows });
            }
        }
        Ok(())
    }
}

fn field(column: &ColumnSpec) -> Field {
    let field = Field::new(&column.name, column.kind.data_type(), true);
    if column.doc.is_empty() {
        return field;
    }
    field.with_metadata([(DESCRIPTION.to_owned(), column.doc.clone())])
}

/// The schema that is embedded in the file. pyarrow, and through it `datasets`, looks for key-value pairs here rather
/// than in the footer.
pub(crate) fn schema_with_metadata(schema: Schema, metadata: &[(String, String)]) -> Schema {
    schema.with_metadata(metadata.iter().cloned().collect::<BTreeMap<_, _>>())
}

/// What all files written here share: everything that could change the bytes is set, not left to a default.
pub(crate) fn fixed_properties(metadata: &[(String, String)]) -> Result<WriterPropertiesBuilder, ColumnarError> {
    let pairs = metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    Ok(WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(cannot_write)?))
        .set_key_value_metadata(Some(pairs)))
}

/// The sink of a finished file.
pub(crate) fn flushed<W: Write + Send>(writer: ArrowWriter<W>) -> Result<W, ColumnarError> {
    let mut sink = writer.into_inner().map_err(cannot_write)?;
    sink.flush().map_err(|error| cannot_write(error.into()))?;
    Ok(sink)
}

pub(crate) fn cannot_encode(source: ArrowError) -> ColumnarError {
    cannot_write(source.into())
}

pub(crate) fn cannot_write(source: ParquetError) -> ColumnarError {
    ColumnarError::Write { source }
}
