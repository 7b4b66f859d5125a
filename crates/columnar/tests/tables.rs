//! Tables that manyframe defines: what is written is read back, the same rows are the same bytes, and damage is an error.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a table that cannot be read fails the test")]

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_columnar::{
    CellLocation, CellReader, ColumnarError, List, RowReader, Selection, Statistics, TableCompression, TableOptions,
    TableReader, TableWriter, check_round_trip, columns_of, schema_of_row, table,
};
use manyframe_core::Digest;
use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::json;

/// A row with a value of every type.
#[derive(Debug, Clone, PartialEq)]
struct Everything {
    id: [u8; 16],
    text: String,
    shared: Arc<str>,
    maybe: Option<String>,
    count: u64,
    small: Option<u32>,
    signed: i64,
    real: Option<f64>,
    numbers: Vec<u64>,
    texts: Vec<String>,
    integers: Option<Vec<i32>>,
    parts: Vec<(String, Option<Vec<u8>>)>,
}

table! {
    /// The columns of `Everything`.
    struct EverythingTable<'r>(row: &'r Everything) -> Everything {
        id: [u8; 16] as Distinct = row.id,
        /// A text, described.
        text: String = &row.text,
        shared: Arc<str> = &row.shared,
        maybe: Option<String> = row.maybe.as_deref(),
        count: u64 as Distinct = row.count,
        small: Option<u32> = row.small,
        signed: i64 = row.signed,
        real: Option<f64> = row.real,
        numbers: Vec<u64> = &row.numbers,
        texts: Vec<String> = &row.texts,
        integers: Option<Vec<i32>> = row.integers.as_deref(),
        parts: List<PartTable> = row.parts.iter().collect(),
    }
    read { Ok(Everything { id, text, shared, maybe, count, small, signed, real, numbers, texts, integers, parts }) }
}

table! {
    /// An element of `parts`.
    struct PartTable<'r>(part: &'r (String, Option<Vec<u8>>)) -> (String, Option<Vec<u8>>) {
        name: String = &part.0,
        bytes: Option<Vec<u8>> as Raw = part.1.as_deref(),
    }
    read { Ok((name, bytes)) }
}

fn row(n: u64) -> Everything {
    let part = |k: u64| (format!("part {k}"), (k.is_multiple_of(2)).then(|| vec![n as u8; k as usize]));
    Everything {
        id: std::array::from_fn(|index| (n >> (index % 8)) as u8),
        text: format!("text {n}"),
        shared: format!("shared {}", n / 1000).into(),
        maybe: (!n.is_multiple_of(3)).then(|| format!("é{n}")),
        count: u64::MAX - n,
        small: (!n.is_multiple_of(5)).then_some(n as u32),
        signed: i64::MIN + n.cast_signed(),
        real: (!n.is_multiple_of(2)).then_some(n as f64 / 3.0),
        numbers: (0..n % 4).collect(),
        texts: (0..n % 3).map(|k| format!("{k} of {n}")).collect(),
        integers: (!n.is_multiple_of(3)).then(|| (0..(n % 7) as i32).map(|k| -k).collect()),
        parts: (0..n % 3).map(part).collect(),
    }
}

fn written(rows: impl IntoIterator<Item = Everything>) -> Vec<u8> {
    let mut writer = TableWriter::<EverythingTable, _>::new(Vec::new()).unwrap();
    rows.into_iter().for_each(|row| writer.write(&row).unwrap());
    writer.finish().unwrap()
}

fn file(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let mut file = tempfile::Builder::new().suffix(".parquet").tempfile_in(folder.path()).unwrap();
    file.write_all(bytes).unwrap();
    file.keep().unwrap().1
}

#[test]
fn a_table_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..10_000).map(row).collect();
    let bytes = written(rows.clone());
    assert!(bytes == written(rows.clone()), "the same rows are other bytes");
    let reader = TableReader::<EverythingTable>::open(&file(&folder, &bytes)).unwrap();
    assert_eq!(reader.num_rows(), 10_000);
    let read: Vec<_> = reader.all_rows().unwrap().map(Result::unwrap).collect();
    assert!(read == rows, "other rows are read than were written");
    let selection = Selection { rows: 8_190..8_195, without: &[], batch_rows: 2 };
    let part: Vec<_> = reader.rows(&selection).unwrap().map(Result::unwrap).collect();
    assert_eq!(part, rows[8_190..8_195]);
}

#[test]
fn every_column_holds_its_own_field() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..12).map(row).collect();
    check_round_trip::<EverythingTable, _>(folder.path(), &rows).unwrap();
}

/// Two numbers that are read from each other's columns.
#[derive(Debug, PartialEq)]
struct Pair(u64, u64);

table! {
    /// A definition with a mistake.
    struct SwappedTable<'r>(pair: &'r Pair) -> Pair {
        first: u64 = pair.0,
        second: u64 = pair.1,
    }
    read { Ok(Pair(second, first)) }
}

#[test]
fn a_swap_of_two_columns_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let check = |pairs: &[Pair]| check_round_trip::<SwappedTable, _>(folder.path(), pairs).unwrap_err();
    assert!(check(&[Pair(1, 2)]).starts_with("read back"));
    assert_eq!(check(&[Pair(1, 1)]), r#"columns "first" and "second" are equal in every row"#);
}

#[test]
fn columns_that_are_left_out_are_absent_or_empty() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..20).map(row).collect();
    let path = file(&folder, &written(rows.clone()));
    let reader = TableReader::<EverythingTable>::open(&path).unwrap();
    let read = |without: &[&str]| -> Vec<_> {
        let selection = Selection { rows: 0..u64::MAX, without, batch_rows: 7 };
        reader.rows(&selection).unwrap().map(Result::unwrap).collect()
    };
    let bare = read(&["parts.bytes", "integers"]);
    for (bare, whole) in bare.iter().zip(&rows) {
        let parts = whole.parts.iter().map(|(name, _)| (name.clone(), None)).collect();
        assert_eq!(*bare, Everything { integers: None, parts, ..whole.clone() });
    }
    assert!(read(&["parts"]).iter().all(|row| row.parts.is_empty()));
    let cell = CellReader::new().read(&CellLocation { file: &path, column: "parts", row: 2, index: 0 }).unwrap();
    assert_eq!(cell, rows[2].parts[0].1);
}

#[test]
fn row_groups_end_where_the_writer_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = TableWriter::<EverythingTable, _>::with_options(Vec::new(), &TableOptions::default()).unwrap();
    for n in 0..7 {
        writer.write(&row(n)).unwrap();
        if n % 3 == 2 {
            writer.end_row_group().unwrap();
        }
    }
    let path = file(&folder, &writer.finish().unwrap());
    assert_eq!(RowReader::open(&path).unwrap().num_row_groups(), 3);
    let reader = TableReader::<EverythingTable>::open(&path).unwrap();
    let read: Vec<_> = reader.all_rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(read, (0..7).map(row).collect::<Vec<_>>());
}

#[test]
fn a_table_without_statistics_or_with_another_compression_has_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let written_with = |options: TableOptions| {
        let mut writer = TableWriter::<EverythingTable, _>::with_options(Vec::new(), &options).unwrap();
        for n in 0..5 {
            writer.write(&row(n)).unwrap();
        }
        let path = file(&folder, &writer.finish().unwrap());
        let reader = TableReader::<EverythingTable>::open(&path).unwrap();
        let read: Vec<_> = reader.all_rows().unwrap().map(Result::unwrap).collect();
        assert_eq!(read, (0..5).map(row).collect::<Vec<_>>());
        SerializedFileReader::new(File::open(path).unwrap()).unwrap().metadata().row_group(0).columns().to_vec()
    };
    let kept = written_with(TableOptions::default());
    assert!(kept.iter().any(|column| column.statistics().is_some()));
    assert!(kept.iter().any(|column| matches!(column.compression(), Compression::ZSTD(_))));
    let (statistics, compression) = (Statistics::Omitted, TableCompression::Lz4);
    let bare = written_with(TableOptions { statistics, compression, ..TableOptions::default() });
    assert!(bare.iter().all(|column| column.statistics().is_none()));
    assert!(bare.iter().any(|column| column.compression() == Compression::LZ4_RAW));
    assert!(!bare.iter().any(|column| matches!(column.compression(), Compression::ZSTD(_))));
}

#[test]
fn an_empty_table_has_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let reader = TableReader::<EverythingTable>::open(&file(&folder, &written([]))).unwrap();
    assert_eq!((reader.num_rows(), reader.all_rows().unwrap().count()), (0, 0));
}

table! {
    /// Columns of another type, or that are not there.
    struct OtherTable<'r>(other: u64) -> u64 {
        text: u64 = other,
    }
    read { Ok(text) }
}

table! {
    /// A column that the tables here do not have.
    struct MissingTable<'r>(other: u64) -> u64 {
        missing: u64 = other,
    }
    read { Ok(missing) }
}

table! {
    /// A column that is sometimes absent.
    struct StrictTable<'r>(text: &'r str) -> String {
        maybe: String = text,
    }
    read { Ok(maybe) }
}

#[test]
fn a_table_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &written((0..3).map(row)));
    let other = TableReader::<OtherTable>::open(&path).unwrap().all_rows().map(drop);
    assert!(matches!(other, Err(ColumnarError::ColumnType { column, .. }) if column == "text"));
    let missing = TableReader::<MissingTable>::open(&path).unwrap().all_rows().map(drop);
    assert!(matches!(missing, Err(ColumnarError::ColumnMissing { column, .. }) if column == "missing"));
}

table! {
    /// The elements of `parts`, with a field that was added since.
    struct NewerElement<'r>(name: &'r str) -> (String, Option<u64>) {
        name: String = name,
        added: Option<u64> = None,
    }
    read { Ok((name, added)) }
}

table! {
    /// Some columns of `Everything`, and some that were added since.
    struct NewerTable<'r>(text: &'r str) -> (String, Option<u64>, Option<Vec<i32>>, Vec<(String, Option<u64>)>) {
        added: Option<u64> = None,
        text: String = text,
        added_list: Option<Vec<i32>> = None,
        parts: List<NewerElement> = Vec::new(),
    }
    read { Ok((text, added, added_list, parts)) }
}

table! {
    /// Nothing but columns that were added since.
    struct AddedTable<'r>(added: Option<u64>) -> Option<u64> {
        added: Option<u64> = added,
    }
    read { Ok(added) }
}

#[test]
fn optional_columns_that_an_older_file_lacks_are_absent() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..20).map(row).collect();
    let path = file(&folder, &written(rows.clone()));
    let newer: Vec<_> =
        TableReader::<NewerTable>::open(&path).unwrap().all_rows().unwrap().map(Result::unwrap).collect();
    let older = rows.iter().map(|row| {
        let parts = row.parts.iter().map(|(name, _)| (name.clone(), None)).collect();
        (row.text.clone(), None, None, parts)
    });
    assert_eq!(newer, older.collect::<Vec<_>>());
    let added: Vec<_> =
        TableReader::<AddedTable>::open(&path).unwrap().all_rows().unwrap().map(Result::unwrap).collect();
    assert_eq!(added, vec![None; 20]);
}

#[test]
fn a_value_that_every_row_has_is_missed_in_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &written((1..5).map(row)));
    let rows: Vec<_> = TableReader::<StrictTable>::open(&path).unwrap().all_rows().unwrap().collect();
    assert_eq!(rows.len(), 3, "there is nothing after an error");
    assert!(matches!(&rows[2], Err(ColumnarError::Row { row: 2, detail, .. }) if detail == "\"maybe\" is absent"));
}

#[test]
fn a_schema_says_what_may_be_absent() {
    let schema = schema_of_row("Everything", "A row.", &columns_of::<EverythingTable>());
    let property = |name: &str| schema["properties"][name].clone();
    assert_eq!(property("text"), json!({ "type": "string", "description": "A text, described." }));
    assert_eq!(property("small"), json!({ "type": ["integer", "null"], "minimum": 0 }));
    assert_eq!(property("parts")["items"]["properties"]["name"], json!({ "type": "string" }));
}

#[test]
fn a_damaged_table_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written((0..50).map(row));
    let path = folder.path().join("damaged.parquet");
    let read = |bytes: &[u8]| {
        File::create(&path).unwrap().write_all(bytes).unwrap();
        TableReader::<EverythingTable>::open(&path)?.all_rows()?.try_for_each(|row| row.map(drop))
    };
    assert!(read(&whole).is_ok());
    for num_bytes in (0..whole.len()).step_by(37) {
        assert!(read(&whole[..num_bytes]).is_err(), "cut to {num_bytes} bytes");
    }
    for step in 0..300_usize {
        let mut damaged = whole.clone();
        let position = (step * 2_654_435_761) % damaged.len();
        damaged[position] ^= 1 << (step % 8);
        read(&damaged).ok();
    }
}

table! {
    /// The types of columns that index, ledger and packs have.
    struct PlainTable<'r>(n: u64) -> () {
        id: [u8; 16] as Distinct = std::array::from_fn(|index| Digest::of(&n.to_le_bytes()).0[index]),
        /// a name, doc
        name: String = &format!("n{}", n % 100),
        maybe: Option<String> = (!n.is_multiple_of(3)).then(|| format!("m{n}")).as_deref(),
        /// a count
        count: u64 as Distinct = n * n,
        small: Option<u64> = (!n.is_multiple_of(2)).then_some(n % 7),
        real: Option<f64> = (!n.is_multiple_of(2)).then_some(n as f64 / 3.0),
        numbers: Vec<u64> = &(0..n % 4).collect::<Vec<_>>(),
        texts: Vec<String> = &(0..n % 4).map(|k| format!("t{k}")).collect::<Vec<_>>(),
        nothing: Option<u64> = None,
    }
    read {
        _ = (id, name, maybe, count, small, real, numbers, texts, nothing);
        Ok(())
    }
}

#[test]
fn tables_have_the_bytes_that_they_always_had() {
    let mut writer = TableWriter::<PlainTable, _>::new(Vec::new()).unwrap();
    (0..150_000).for_each(|n| writer.write(n).unwrap());
    let digest = Digest::of(&writer.finish().unwrap()).to_string();
    assert_eq!(digest, "443f94cefd328d2277f890bb515074b7ba27a8c7a1de2f46231cfb68200bd611");
}
