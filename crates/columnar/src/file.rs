//! An open Parquet file: its footer, where its row groups begin, and readers over parts of it.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::ArrowError;
use arrow_schema::DataType;
use manyframe_base::InputFile;
use parquet::basic::Type;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;
use parquet::file::metadata::page_index::PageIndexProvider;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::Length;
use parquet::file::serialized_reader::SerializedPageReader;

use crate::chunks::FileChunks;
use crate::error::ColumnarError;
use crate::guard::{Fallback, RecordBatches, guarded};
use crate::nesting::check_nesting;
use crate::page_index::read_page_index;
use crate::pages::{GroupPart, Pages};
use crate::shape::{Shape, leaf_types, schema_without_text, shapes};

/// An open Parquet file, read with [`schema_without_text`].
#[derive(Debug)]
pub(crate) struct ParquetFile {
    pub(crate) path: PathBuf,
    pub(crate) columns: Vec<(String, Shape)>,
    pub(crate) num_rows: u64,
    leaf_types: Vec<DataType>,
    pages: Arc<Pages>,
    /// First row of each row group, and the end of the last one.
    bounds: Vec<u64>,
}

impl ParquetFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ColumnarError> {
        let file = InputFile::open(path).map_err(|source| ColumnarError::Open { path: path.to_owned(), source })?;
        Self::of(file)
    }

    pub(crate) fn of(file: InputFile) -> Result<Self, ColumnarError> {
        let path = file.path().to_owned();
        guarded(|| Self::from_chunks(&path, FileChunks(file)))
            .map_err(|source| ColumnarError::Read { path: path.clone(), source })
    }

    fn from_chunks(path: &Path, chunks: FileChunks) -> Result<Self, ParquetError> {
        check_nesting(&chunks)?;
        let footer = ParquetMetaDataReader::new().parse_and_finish(&chunks)?;
        let typed = footer.file_metadata().schema_descr();
        check_chunks(&footer, chunks.len())?;
        let schema = ParquetMetaDataOptions::new().with_schema(schema_without_text(typed)?.into());
        let metadata = ParquetMetaDataReader::new().with_metadata_options(Some(schema)).parse_and_finish(&chunks)?;
        let page_index = read_page_index(&chunks, &footer).map(|index| Arc::new(index) as Arc<dyn PageIndexProvider>);
        let metadata = metadata.into_builder().set_page_index(page_index).build();
        let pages = Pages::new(chunks, metadata)?;
        let columns = shapes(typed, pages.fields())?;
        if columns.is_empty() {
            return Err(ParquetError::General("the file has no columns".to_owned()));
        }
        let leaf_types = leaf_types(pages.fields());
        let (bounds, num_rows) = row_group_bounds(&footer)?;
        Ok(Self { path: path.to_owned(), columns, num_rows, leaf_types, pages: Arc::new(pages), bounds })
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
        self.pages.footer()
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
        (0..self.leaf_types.len()).all(|leaf| self.pages.is_indexed(group, leaf))
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
            SerializedPageReader::new(Arc::new(self.pages.chunks.clone()), column, num_rows, None)?.get_next_page()
        });
        // What cannot be read is reported when the rows are.
        let Ok(Some(Page::DictionaryPage { buf, .. })) = page else { return 0 };
        let values_per_row = column.num_values().cast_unsigned() / group.num_rows().cast_unsigned().max(1);
        longest_value(&buf).saturating_mul(values_per_row.max(1))
    }

    pub(crate) fn read(&self, part: GroupPart) -> Result<RecordBatches, ColumnarError> {
        let reader = guarded(|| self.pages.reader(&part)).map_err(|source| self.cannot_read(source))?;
        let is_indexed = part.leaves.iter().any(|leaf| self.pages.is_indexed(part.group, *leaf));
        let pages = is_indexed.then(|| Arc::clone(&self.pages));
        Ok(RecordBatches::new(&self.path, reader, pages.map(|pages| Fallback { pages, part })))
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
