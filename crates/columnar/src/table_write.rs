//! Writing tables. The same rows always produce the same bytes.

use std::collections::BTreeMap;
use std::io::Write;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::builder::{Builder, CellWriter};
use crate::column::{Column, ColumnStorage};
use crate::columns::{Columns, columns_of};
use crate::error::ColumnarError;

/// Who wrote the file, as its footer says. Without a version: the same table is the same bytes.
const CREATED_BY: &str = "manyframe";
/// Maximum number of rows of a row group.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Rows that are encoded at once: pages end between these.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Most bytes of a dictionary with large values; what does not fit is stored by itself.
const MAX_DICTIONARY_BYTES: usize = 64 << 20;

/// What a table has besides its columns.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// Key-value pairs that are kept in its footer.
    pub metadata: Vec<(String, String)>,
    /// Whether the descriptions of columns are kept in the file.
    pub descriptions: Descriptions,
    /// The size of a page is checked after this many values; `None` is the library's default. Smaller pages make single
    /// large values cheap to read.
    pub page_check_values: Option<usize>,
    /// Whether the least and the greatest value of each page and column are kept in the file.
    pub statistics: Statistics,
    /// How columns of large values are stored.
    pub raw_values: RawValues,
    /// How all other columns are compressed.
    pub compression: TableCompression,
}

/// Whether a file says what the least and the greatest value of its pages and columns are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Statistics {
    /// It does, so that readers skip what they do not look for.
    #[default]
    Kept,
    /// It does not: finding them is a tenth of the time that it takes to write a table.
    Omitted,
}

/// How the values of columns with [`ColumnStorage::Raw`] are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RawValues {
    /// Each by itself.
    #[default]
    Each,
    /// Equal values of a row group once, in its dictionary, as far as it has room for them. Whoever reads one value reads it.
    Shared,
}

/// How the pages of a table are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TableCompression {
    /// Zstandard, for tables that are kept and sent.
    #[default]
    Zstd,
    /// LZ4: a quarter larger, for tables that are read again on this machine. It starts in no time, which in a table of a few rows
    /// is most of it.
    Lz4,
}

impl TableCompression {
    fn codec(self) -> Result<Compression, ColumnarError> {
        Ok(match self {
            Self::Zstd => Compression::ZSTD(ZstdLevel::try_new(3).map_err(cannot_write)?),
            Self::Lz4 => Compression::LZ4_RAW,
        })
    }
}

/// Whether a file holds the descriptions of its columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Descriptions {
    /// It does, as the `description` of each field.
    #[default]
    Kept,
    /// It does not.
    Omitted,
}

/// Writes a table row by row. At most one batch of 8192 rows and one encoded row group are held in memory.
pub struct TableWriter<T, W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: SchemaRef,
    builders: Vec<Builder>,
    num_waiting: usize,
    table: PhantomData<fn(T)>,
}

impl<T: Columns, W: Write + Send> TableWriter<T, W> {
    /// Starts a table that has its columns and their descriptions only.
    pub fn new(sink: W) -> Result<Self, ColumnarError> {
        Self::with_options(sink, &TableOptions::default())
    }

    /// Starts a table.
    pub fn with_options(sink: W, options: &TableOptions) -> Result<Self, ColumnarError> {
        let columns = columns_of::<T>();
        let schema = Arc::new(schema(&columns, options));
        let properties = properties(&columns, options)?;
        let writer = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties)).map_err(cannot_write)?;
        Ok(Self { writer, schema, builders: Builder::of_columns(&columns), num_waiting: 0, table: PhantomData })
    }

    /// Appends a row.
    pub fn write(&mut self, row: T::Input<'_>) -> Result<(), ColumnarError> {
        T::write(row, &mut CellWriter::new(&mut self.builders));
        self.num_waiting += 1;
        if self.num_waiting < BATCH_ROWS { Ok(()) } else { self.write_waiting() }
    }

    /// Ends the row group that the last row belongs to. Without it, row groups have 131072 rows.
    pub fn end_row_group(&mut self) -> Result<(), ColumnarError> {
        self.write_waiting()?;
        self.writer.flush().map_err(cannot_write)
    }

    /// Writes the footer, flushes, and returns the sink.
    pub fn finish(mut self) -> Result<W, ColumnarError> {
        self.write_waiting()?;
        let mut sink = self.writer.into_inner().map_err(cannot_write)?;
        sink.flush().map_err(|error| cannot_write(error.into()))?;
        Ok(sink)
    }

    fn write_waiting(&mut self) -> Result<(), ColumnarError> {
        if self.num_waiting == 0 {
            return Ok(());
        }
        self.num_waiting = 0;
        let arrays = Builder::finish_all(&mut self.builders);
        let batch = arrays.and_then(|arrays| RecordBatch::try_new(Arc::clone(&self.schema), arrays));
        self.writer.write(&batch.map_err(cannot_encode)?).map_err(cannot_write)
    }
}

/// The schema that is embedded in the file. pyarrow, and through it `datasets`, looks for key-value pairs here rather
/// than in the footer.
fn schema(columns: &[Column], options: &TableOptions) -> Schema {
    let field = match options.descriptions {
        Descriptions::Kept => Column::described_field,
        Descriptions::Omitted => Column::arrow_field,
    };
    let fields: Vec<_> = columns.iter().map(field).collect();
    Schema::new(fields).with_metadata(options.metadata.iter().cloned().collect::<BTreeMap<_, _>>())
}

/// Everything that could change the bytes is set, not left to a default.
fn properties(columns: &[Column], options: &TableOptions) -> Result<WriterProperties, ColumnarError> {
    let pairs = options.metadata.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(options.compression.codec()?)
        .set_key_value_metadata(Some(pairs))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS));
    if let Some(num_values) = options.page_check_values {
        properties = properties.set_write_batch_size(num_values);
    }
    if options.statistics == Statistics::Omitted {
        properties = properties.set_statistics_enabled(EnabledStatistics::None);
    }
    let mut leaves = Vec::new();
    for column in columns {
        column.for_each_leaf(&[], &mut |path, storage| leaves.push((path, storage)));
    }
    let with_storage = |properties, leaf| with_storage(properties, leaf, options);
    Ok(leaves.into_iter().fold(properties, with_storage).build())
}

fn with_storage(
    properties: WriterPropertiesBuilder,
    (path, storage): (ColumnPath, ColumnStorage),
    options: &TableOptions,
) -> WriterPropertiesBuilder {
    match storage {
        ColumnStorage::Repeating => properties,
        ColumnStorage::Distinct => properties.set_column_dictionary_enabled(path, false),
        ColumnStorage::Raw => {
            let properties = properties
                .set_column_compression(path.clone(), Compression::UNCOMPRESSED)
                .set_column_dictionary_enabled(path.clone(), options.raw_values == RawValues::Shared)
                .set_column_dictionary_page_size_limit(path.clone(), MAX_DICTIONARY_BYTES);
            match options.statistics {
                Statistics::Kept => properties.set_column_statistics_enabled(path, EnabledStatistics::Chunk),
                Statistics::Omitted => properties,
            }
        }
    }
}

fn cannot_encode(source: ArrowError) -> ColumnarError {
    cannot_write(source.into())
}

fn cannot_write(source: ParquetError) -> ColumnarError {
    ColumnarError::Write { source }
}
