//! The page index of a file: where the pages of each column chunk begin, by which a row is found without reading those
//! before it.
//!
//! The library believes it. One that is damaged makes it panic, set any amount of memory aside, or find no row by position
//! where there is one in order. So it is read here, and a column chunk whose pages it does not describe is read without.

use std::ops::Range;

use parquet::errors::ParquetError;
use parquet::file::metadata::page_index::{PageIndex, PageIndexBuilder};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::{OffsetIndexMetaData, PageLocation};
use parquet::file::reader::ChunkReader;

use crate::chunks::FileChunks;
use crate::thrift::{Compact, ThriftType, malformed};

/// Field of `OffsetIndex` with the list of `PageLocation`s.
const PAGE_LOCATIONS: i64 = 1;
/// Fields of `PageLocation`.
const OFFSET: i64 = 1;
const COMPRESSED_PAGE_SIZE: i64 = 2;
const FIRST_ROW_INDEX: i64 = 3;
/// Fields of `PageHeader`.
const DATA_PAGE_HEADER: i64 = 5;
const DATA_PAGE_HEADER_V2: i64 = 8;
/// Field of `DataPageHeader`.
const NUM_VALUES: i64 = 1;
/// Field of `DataPageHeaderV2`.
const NUM_ROWS: i64 = 3;
/// How deeply fields nest that are not known here.
const MAX_DEPTH: usize = 16;
/// Bytes between the indexes of column chunks, at most; they are read at once.
const MAX_GAP_BYTES: u64 = 16 << 20;

/// The offset indexes of a file that fit their column chunks; `None` if there is none.
pub(crate) fn read_page_index(chunks: &FileChunks, footer: &ParquetMetaData) -> Option<PageIndex> {
    let ranges = || footer.row_groups().iter().flat_map(RowGroupMetaData::columns).filter_map(index_range);
    let (start, end) = (ranges().map(|range| range.start).min()?, ranges().map(|range| range.end).max()?);
    let num_bytes: u64 = ranges().map(|range| range.end - range.start).fold(0, u64::saturating_add);
    if end - start > num_bytes.saturating_add(MAX_GAP_BYTES) {
        return None;
    }
    let bytes = chunks.get_bytes(start, usize::try_from(end - start).ok()?).ok()?;
    let mut index = PageIndexBuilder::default();
    index.allocate_offset_indexes(footer.num_row_groups(), footer.file_metadata().schema_descr().num_columns());
    for (number, group) in footer.row_groups().iter().enumerate() {
        for (leaf, column) in group.columns().iter().enumerate() {
            let Some(range) = index_range(column) else { continue };
            let range = usize::try_from(range.start - start).ok()?..usize::try_from(range.end - start).ok()?;
            let pages = page_locations(&mut Compact::new(bytes.get(range)?));
            // Without an index, a chunk is read slowly, and rightly.
            if let Ok(page_locations) = pages
                && fits(&page_locations, column, group.num_rows())
            {
                let chunk = OffsetIndexMetaData { page_locations, unencoded_byte_array_data_bytes: None };
                index.put_offset_index(chunk, number, leaf);
            }
        }
    }
    Some(index.build())
}

fn index_range(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = u64::try_from(column.offset_index_offset()?).ok()?;
    let end = start.checked_add(u64::try_from(column.offset_index_length()?).ok()?)?;
    Some(start..end)
}

/// Whether pages follow one another from the first data page of a chunk to its end, each with a row at least.
fn fits(pages: &[PageLocation], column: &ColumnChunkMetaData, num_rows: i64) -> bool {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let mut offset = column.data_page_offset();
    let mut row = 0;
    for page in pages {
        let is_next = page.offset == offset && page.compressed_page_size > 0;
        let is_after = if row == 0 { page.first_row_index == 0 } else { page.first_row_index >= row };
        if !is_next || !is_after || page.first_row_index >= num_rows {
            return false;
        }
        (offset, row) = (offset.saturating_add(page.compressed_page_size.into()), page.first_row_index + 1);
    }
    !pages.is_empty() && start.checked_add(column.compressed_size()) == Some(offset)
}

/// How many rows a data page has by the header that it begins with. Those of lists are not stated in the first version of
/// pages, where they are as many as its values begin. `None` if it states none, or is no page.
pub(crate) fn rows_of_page(page: &[u8], is_list: bool) -> Option<u64> {
    let mut thrift = Compact::new(page);
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field).ok()? {
        match (field, kind) {
            (DATA_PAGE_HEADER, ThriftType::Struct) if !is_list => return integer(&mut thrift, NUM_VALUES),
            (DATA_PAGE_HEADER_V2, ThriftType::Struct) => return integer(&mut thrift, NUM_ROWS),
            _ => thrift.skip(kind, MAX_DEPTH).ok()?,
        }
    }
    None
}

/// A field of a struct.
fn integer(thrift: &mut Compact<'_>, wanted: i64) -> Option<u64> {
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field).ok()? {
        if field == wanted && kind == ThriftType::Integer {
            return u64::try_from(thrift.signed().ok()?).ok();
        }
        thrift.skip(kind, MAX_DEPTH).ok()?;
    }
    None
}

fn page_locations(thrift: &mut Compact<'_>) -> Result<Vec<PageLocation>, ParquetError> {
    let mut pages = Vec::new();
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field)? {
        match (field, kind) {
            (PAGE_LOCATIONS, ThriftType::List) => {
                let (num_pages, ThriftType::Struct) = thrift.list()? else { return Err(malformed()) };
                for _ in 0..num_pages {
                    pages.push(page_location(thrift)?);
                }
            }
            _ => thrift.skip(kind, MAX_DEPTH)?,
        }
    }
    Ok(pages)
}

fn page_location(thrift: &mut Compact<'_>) -> Result<PageLocation, ParquetError> {
    let (mut offset, mut num_bytes, mut first_row) = (None, None, None);
    let mut field = 0;
    while let Some(kind) = thrift.field(&mut field)? {
        match (field, kind) {
            (OFFSET, ThriftType::Integer) => offset = Some(thrift.signed()?),
            (COMPRESSED_PAGE_SIZE, ThriftType::Integer) => num_bytes = i32::try_from(thrift.signed()?).ok(),
            (FIRST_ROW_INDEX, ThriftType::Integer) => first_row = Some(thrift.signed()?),
            _ => thrift.skip(kind, MAX_DEPTH)?,
        }
    }
    match (offset, num_bytes, first_row) {
        (Some(offset), Some(compressed_page_size), Some(first_row_index)) => {
            Ok(PageLocation { offset, compressed_page_size, first_row_index })
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
    use manyframe_base::InputFile;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::ParquetMetaDataReader;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use tempfile::NamedTempFile;

    use crate::file::ParquetFile;
    use crate::json::Row;
    use crate::row::RowReader;

    use super::*;

    /// A file of 12 rows in 2 row groups: unique numbers and repeated texts; in the second version, whose pages state their
    /// rows, also lists.
    fn table(version: WriterVersion, rows_per_page: usize) -> Vec<u8> {
        let numbers = Arc::new(Int64Array::from_iter_values(0..12));
        let texts = Arc::new(StringArray::from_iter_values((0..12).map(|row| format!("text {}", row / 2))));
        let lists = (0..12).map(|row| Some((0..row % 3).map(move |value| Some(row * 10 + value))));
        let lists = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
        let mut columns: Vec<(&str, ArrayRef)> = vec![("number", numbers), ("text", texts)];
        if version == WriterVersion::PARQUET_2_0 {
            columns.push(("list", lists));
        }
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let properties = WriterProperties::builder()
            .set_writer_version(version)
            .set_max_row_group_row_count(Some(6))
            .set_write_batch_size(1)
            .set_data_page_row_count_limit(rows_per_page)
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn file_of(content: &[u8]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    /// Where the offset indexes of a file are.
    fn index_bytes(file: &Path) -> Range<usize> {
        let footer =
            ParquetMetaDataReader::new().parse_and_finish(&FileChunks(InputFile::open(file).unwrap())).unwrap();
        let ranges: Vec<_> =
            footer.row_groups().iter().flat_map(RowGroupMetaData::columns).filter_map(index_range).collect();
        ranges[0].start as usize..ranges[ranges.len() - 1].end as usize
    }

    fn rows_in_order(file: &Path) -> Vec<Row> {
        RowReader::open(file).unwrap().rows(0..12).unwrap().map(|row| row.unwrap().1).collect()
    }

    fn check_rows(file: &Path, expected: &[Row], damage: &str) {
        assert_eq!(rows_in_order(file), expected, "{damage}");
        let reader = RowReader::open(file).unwrap();
        let by_position: Vec<_> = (0..12).map(|row| reader.row(row).unwrap()).collect();
        assert_eq!(by_position, expected, "{damage}");
    }

    #[test]
    fn every_row_is_read_whatever_the_index_says() {
        for (version, rows_per_page) in
            [(WriterVersion::PARQUET_1_0, 2), (WriterVersion::PARQUET_1_0, 6), (WriterVersion::PARQUET_2_0, 2)]
        {
            let whole = table(version, rows_per_page);
            let file = file_of(&whole);
            let rows = rows_in_order(file.path());
            assert_eq!(rows.len(), 12);
            for position in index_bytes(file.path()) {
                let byte = whole[position];
                for damage in [byte.wrapping_add(2), byte.wrapping_sub(2), byte ^ 0x80] {
                    let mut damaged = whole.clone();
                    damaged[position] = damage;
                    check_rows(file_of(&damaged).path(), &rows, &format!("{version:?}: byte {position} is {damage}"));
                }
            }
        }
    }

    #[test]
    fn an_index_that_fits_is_used() {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let file = file_of(&table(version, 2));
            let file = ParquetFile::open(file.path()).unwrap();
            for group in 0..file.num_groups() {
                assert!(file.has_page_index(group));
                assert_eq!(file.footer().page_index().unwrap().num_data_pages(group, 0), Some(3));
            }
        }
    }

    #[test]
    fn an_index_sets_no_memory_aside_for_what_it_claims() {
        // Field 1, a list of structs that claims 2^31 - 1 pages.
        let claim = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07];
        assert!(page_locations(&mut Compact::new(&claim)).is_err());
    }
}
