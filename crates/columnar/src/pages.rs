//! Readers over the pages of a file: by its page index, and without it where it turns out to be wrong.
//!
//! How many rows a page has is known when it is read. Where that is not what the index says, rows would be taken for others.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_schema::Fields;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{ChunkReader, Length};

use crate::chunks::FileChunks;
use crate::page_index::rows_of_page;

/// The pages of an open file.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) chunks: FileChunks,
    metadata: ArrowReaderMetadata,
    /// Made when an index is first found to be wrong.
    without_index: OnceLock<ArrowReaderMetadata>,
}

/// A part of a row group.
#[derive(Debug)]
pub(crate) struct GroupPart {
    pub(crate) group: usize,
    /// Leaves to read.
    pub(crate) leaves: Vec<usize>,
    /// Rows within the group.
    pub(crate) rows: Range<u64>,
    pub(crate) batch_rows: usize,
}

/// The bytes of a file. To read a page of a part by its index is an error if it has other rows than the index says.
struct CheckedChunks {
    chunks: FileChunks,
    metadata: Arc<ParquetMetaData>,
    group: usize,
    leaves: Vec<usize>,
}

impl Pages {
    pub(crate) fn new(chunks: FileChunks, footer: ParquetMetaData) -> Result<Self, ParquetError> {
        Ok(Self { chunks, metadata: arrow_metadata(footer)?, without_index: OnceLock::new() })
    }

    pub(crate) fn footer(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(crate) fn fields(&self) -> &Fields {
        self.metadata.schema().fields()
    }

    /// Whether single pages of a column chunk can be found without reading the ones before.
    pub(crate) fn is_indexed(&self, group: usize, leaf: usize) -> bool {
        self.footer().page_index().is_some_and(|index| index.offset_index(group, leaf).is_some())
    }

    pub(crate) fn reader(&self, part: &GroupPart) -> Result<ParquetRecordBatchReader, ParquetError> {
        self.open(&self.metadata, part)
    }

    pub(crate) fn reader_without_index(&self, part: &GroupPart) -> Result<ParquetRecordBatchReader, ParquetError> {
        if let Some(metadata) = self.without_index.get() {
            return self.open(metadata, part);
        }
        let footer = self.footer().clone().into_builder().set_page_index(None).build();
        let metadata = arrow_metadata(footer)?;
        self.open(self.without_index.get_or_init(|| metadata), part)
    }

    fn open(&self, metadata: &ArrowReaderMetadata, part: &GroupPart) -> Result<ParquetRecordBatchReader, ParquetError> {
        let leaves = ProjectionMask::leaves(metadata.parquet_schema(), part.leaves.iter().copied());
        let num_rows = part.rows.end.saturating_sub(part.rows.start) as usize;
        let selection = vec![RowSelector::skip(part.rows.start as usize), RowSelector::select(num_rows)];
        let chunks = CheckedChunks {
            chunks: self.chunks.clone(),
            metadata: Arc::clone(metadata.metadata()),
            group: part.group,
            leaves: part.leaves.clone(),
        };
        ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, metadata.clone())
            .with_row_groups(vec![part.group])
            .with_projection(leaves)
            .with_row_selection(RowSelection::from(selection))
            .with_batch_size(part.batch_rows)
            .build()
    }
}

fn arrow_metadata(footer: ParquetMetaData) -> Result<ArrowReaderMetadata, ParquetError> {
    ArrowReaderMetadata::try_new(Arc::new(footer), ArrowReaderOptions::new().with_skip_arrow_metadata(true))
}

impl CheckedChunks {
    /// How many rows the page at an offset has by its index, if an index locates one there, and whether its column is a list.
    fn indexed_rows(&self, offset: u64) -> Option<(u64, bool)> {
        let index = self.metadata.page_index()?;
        let group = self.metadata.row_groups().get(self.group)?;
        self.leaves.iter().find_map(|&leaf| {
            let pages = index.page_locations(self.group, leaf)?;
            let number = pages.binary_search_by_key(&offset, |page| page.offset.cast_unsigned()).ok()?;
            let end = pages.get(number + 1).map_or(group.num_rows(), |next| next.first_row_index);
            let num_rows = u64::try_from(end - pages.get(number)?.first_row_index).ok()?;
            Some((num_rows, group.columns().get(leaf)?.column_descr().max_rep_level() > 0))
        })
    }
}

impl Length for CheckedChunks {
    fn len(&self) -> u64 {
        self.chunks.len()
    }
}

impl ChunkReader for CheckedChunks {
    type T = <FileChunks as ChunkReader>::T;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.chunks.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.chunks.get_bytes(start, length)?;
        if let Some((indexed, is_list)) = self.indexed_rows(start)
            && let Some(num_rows) = rows_of_page(&bytes, is_list)
            && num_rows != indexed
        {
            return Err(ParquetError::General(format!(
                "a page at {start} has {num_rows} rows, of which the page index knows {indexed}"
            )));
        }
        Ok(bytes)
    }
}
