//! An open Parquet file: its footer, where its row groups begin, and readers over parts of it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::basic::Type;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::Length;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::chunks::FileChunks;
use crate::error::ColumnarError;
use crate::guard::{RecordBatches, guarded};
use crate::nesting::check_nesting;
use crate::shape::{Shape, leaf_types, schema_without_text, shapes};

/// An open Parquet file, read with [`schema_without_text`].
#[derive(Debug)]
pub(crate) struct ParquetFile {
    pub(crate) path: PathBuf,
    pub(crate) columns: Vec<(String, Shape)>,
    pub(crate) num_rows: u64,
    leaf_types: Vec<DataType>,
    chunks: FileChunks,
    metadata: ArrowReaderMetadata,
    /// First row of each row group, and the end of the last one.
    bounds: Vec<u64>,
}

/// A part of a row group.
pub(crate) struct GroupPart<'a> {
    pub(crate) group: usize,
    /// Leaves to read.
    pub(crate) leaves: &'a [usize],
    /// Rows within the group.
    pub(crate) rows: Range<u64>,
    pub(crate) batch_rows: usize,
}

impl ParquetFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ColumnarError> {
        let chunks = FileChunks::open(path).map_err(|source| ColumnarError::Open { path: path.to_owned(), source })?;
        guarded(|| Self::from_chunks(path, chunks))
            .map_err(|source| ColumnarError::Read { path: path.to_owned(), source })
    }

    fn from_chunks(path: &Path, chunks: FileChunks) -> Result<Self, ParquetError> {
        check_nesting(&chunks)?;
        let footer = ParquetMetaDataReader::new().parse_and_finish(&chunks)?;
        let typed = footer.file_metadata().schema_descr();
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_offset_index_policy(PageIndexPolicy::Optional)
            .with_parquet_schema(schema_without_text(typed)?.into());
        let metadata = ArrowReaderMetadata::load(&chunks, options)?;
        check_chunks(metadata.metadata(), chunks.len())?;
        let columns = shapes(typed, metadata.schema().fields())?;
        if columns.is_empty() {
            return Err(ParquetError::General("the file has no columns".to_owned()));
        }
        let leaf_types = leaf_types(metadata.schema().fields());
        let (bounds, num_rows) = row_group_bounds(metadata.metadata())?;
        Ok(Self { path: path.to_owned(), columns, num_rows, leaf_types, chunks, metadata, bounds })
    }

    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn column(&self, column: &str) -> Result<&Shape, ColumnarError> {
        let found = self.columns.iter().find(|(name, _)| name == column);
        found.map(|(_, shape)| shape).ok_or_else(|| ColumnarError::ColumnMissing {
            path: self.path.clone(),
            column: column.to_owned(),
            found: self.column_names().map(str::to_owned).collect(),
        })
    }

    /// The Arrow type that a leaf is read as.
    pub(crate) fn leaf_type(&self, leaf: usize) -> Option<&DataType> {
        self.leaf_types.get(leaf)
    }

    pub(crate) fn footer(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(crate) fn num_groups(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The rows of a group, as positions in the file.
    #[expect(clippy::indexing_slicing, reason = "groups are numbered by `num_groups` and `group_of` alone")]
    pub(crate) fn group_rows(&self, group: usize) -> Range<u64> {
        self.bounds[group]..self.bounds[group + 1]
    }

    /// The group that holds a row, which the file must have.
    pub(crate) fn group_of(&self, row: u64) -> usize {
        self.bounds.partition_point(|&start| start <= row).saturating_sub(1)
    }

    /// Whether single pages of a group can be found without reading the ones before.
    pub(crate) fn has_page_index(&self, group: usize) -> bool {
        self.footer().row_groups().get(group).is_some_and(|group| {
            !group.columns().is_empty() && group.columns().iter().all(|column| column.offset_index_offset().is_some())
        })
    }

    /// Size in bytes of the largest page of a column chunk, by estimate: writers end a page at about 1 MiB, but some
    /// look at its size only after every 1024 values.
    pub(crate) fn largest_page(&self, group: usize, leaf: usize) -> u64 {
        let Some(column) = self.footer().row_groups().get(group).and_then(|group| group.columns().get(leaf)) else {
            return 0;
        };
        let num_bytes = u64::try_from(column.uncompressed_size()).unwrap_or_default();
        let num_values = u64::try_from(column.num_values()).unwrap_or_default().max(1);
        num_bytes.min((num_bytes / num_values).saturating_mul(1024).max(1 << 20))
    }

    /// Bytes that a row needs if its values are the longest ones in the dictionary of a column chunk; 0 without a dictionary
    /// of texts. Reads the dictionary.
    pub(crate) fn longest_in_dictionary(&self, group: usize, leaf: usize) -> u64 {
        let Some(group) = self.footer().row_groups().get(group) else { return 0 };
        let Some(column) = group.columns().get(leaf).filter(|column| column.column_type() == Type::BYTE_ARRAY) else {
            return 0;
        };
        if column.dictionary_page_offset().is_none() {
            return 0;
        }
        let num_rows = usize::try_from(group.num_rows()).unwrap_or(usize::MAX);
        let page = guarded(|| {
            SerializedPageReader::new(Arc::new(self.chunks.clone()), column, num_rows, None)?.get_next_page()
        });
        // What cannot be read is reported when the rows are.
        let Ok(Some(Page::DictionaryPage { buf, .. })) = page else { return 0 };
        let values_per_row = column.num_values().cast_unsigned() / group.num_rows().cast_unsigned().max(1);
        longest_value(&buf).saturating_mul(values_per_row.max(1))
    }

    pub(crate) fn read(&self, part: &GroupPart<'_>) -> Result<RecordBatches, ColumnarError> {
        let leaves = ProjectionMask::leaves(self.metadata.parquet_schema(), part.leaves.iter().copied());
        let num_rows = part.rows.end.saturating_sub(part.rows.start) as usize;
        let selection = vec![RowSelector::skip(part.rows.start as usize), RowSelector::select(num_rows)];
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.chunks.clone(), self.metadata.clone())
            .with_row_groups(vec![part.group])
            .with_projection(leaves)
            .with_row_selection(RowSelection::from(selection))
            .with_batch_size(part.batch_rows);
        let reader = guarded(|| builder.build()).map_err(|source| self.cannot_read(source))?;
        Ok(RecordBatches::new(&self.path, reader))
    }

    fn cannot_read(&self, source: ParquetError) -> ColumnarError {
        ColumnarError::Read { path: self.path.clone(), source }
    }

    pub(crate) fn cannot_decode(&self, source: ArrowError) -> ColumnarError {
        ColumnarError::Decode { path: self.path.clone(), source }
    }

    /// What to report when a group ends before its last row.
    pub(crate) fn ended_early(&self, group: usize) -> ColumnarError {
        let rows = self.group_rows(group);
        self.cannot_read(ParquetError::EOF(format!(
            "row group {group} has fewer rows than the {} that its footer states",
            rows.end - rows.start
        )))
    }
}

/// Length of the longest of some values, each of which follows its length.
fn longest_value(mut values: &[u8]) -> u64 {
    let mut longest = 0;
    while let Some((length, rest)) = values.split_first_chunk() {
        let length = u32::from_le_bytes(*length);
        longest = longest.max(u64::from(length));
        values = rest.get(length as usize..).unwrap_or_default();
    }
    longest
}

fn row_group_bounds(metadata: &ParquetMetaData) -> Result<(Vec<u64>, u64), ParquetError> {
    let mut next = 0_u64;
    let mut bounds = vec![0];
    for group in metadata.row_groups() {
        let end = u64::try_from(group.num_rows()).ok().and_then(|num_rows| next.checked_add(num_rows));
        next = end.ok_or_else(|| ParquetError::General(format!("a row group claims {} rows", group.num_rows())))?;
        bounds.push(next);
    }
    Ok((bounds, next))
}

/// Checks that every column chunk lies within the file, which the library assumes.
fn check_chunks(metadata: &ParquetMetaData, num_bytes: u64) -> Result<(), ParquetError> {
    for column in metadata.row_groups().iter().flat_map(RowGroupMetaData::columns) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = u64::try_from(start).ok().zip(u64::try_from(column.compressed_size()).ok());
        let end = end.and_then(|(start, length)| start.checked_add(length));
        if end.is_none_or(|end| end > num_bytes) {
            return Err(ParquetError::EOF(format!(
                "column {} claims {} bytes at {start} of a file of {num_bytes}",
                column.column_path(),
                column.compressed_size()
            )));
        }
    }
    Ok(())
}
