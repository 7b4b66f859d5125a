//! Plain tables and tables of samples: what is written is read back, and the same rows are the same bytes.

#![expect(clippy::unwrap_used, reason = "a table that cannot be read fails the test")]

use std::borrow::Cow;
use std::io::Write;
use std::path::PathBuf;

use manyframe_columnar::{
    CellReader, Column, ColumnKind, ColumnSpec, ColumnarError, ImageBytes, ImageCell, RowReader, SampleRow,
    SampleTableReader, SampleTableWriter, TableReader, TableWriter,
};
use manyframe_core::{Digest, RecordId, SampleTokens};

fn file(folder: &tempfile::TempDir, bytes: &[u8]) -> PathBuf {
    let mut file = tempfile::Builder::new().suffix(".parquet").tempfile_in(folder.path()).unwrap();
    file.write_all(bytes).unwrap();
    file.keep().unwrap().1
}

fn columns() -> Vec<ColumnSpec> {
    vec![
        ColumnSpec::new("id", ColumnKind::Id, "identity"),
        ColumnSpec::new("text", ColumnKind::Text, ""),
        ColumnSpec::new("u64", ColumnKind::U64, ""),
        ColumnSpec::new("i64", ColumnKind::I64, ""),
        ColumnSpec::new("f64", ColumnKind::F64, ""),
        ColumnSpec::new("bool", ColumnKind::Bool, ""),
    ]
}

fn batch(first: u64, num_rows: u64) -> Vec<Column> {
    let rows = || first..first + num_rows;
    let id = |n: u64| (!n.is_multiple_of(5)).then(|| RecordId::from_digest(Digest::of(&n.to_le_bytes())));
    vec![
        Column::Id(rows().map(id).collect()),
        Column::Text(rows().map(|n| (n % 3 > 0).then(|| format!("é{n}"))).collect()),
        Column::U64(rows().map(|n| Some(u64::MAX - n)).collect()),
        Column::I64(rows().map(|n| Some(i64::MIN + n.cast_signed())).collect()),
        Column::F64(rows().map(|n| (n % 2 > 0).then_some(n as f64 / 3.0)).collect()),
        Column::Bool(rows().map(|n| Some(n % 2 > 0)).collect()),
    ]
}

fn table(batches: &[Vec<Column>]) -> Vec<u8> {
    let metadata = [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())];
    let mut writer = TableWriter::new(Vec::new(), &columns(), &metadata).unwrap();
    for batch in batches {
        writer.write(batch.clone()).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn a_table_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let reader = TableReader::open(&file(&folder, &table(&[batch(0, 10_000)]))).unwrap();
    assert_eq!(reader.columns(), columns());
    assert_eq!((reader.num_rows(), reader.metadata("a"), reader.metadata("c")), (10_000, Some("2"), None));
    let names = ["id", "text", "u64", "i64", "f64", "bool"];
    let batches: Vec<_> = reader.batches(&names).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches, [batch(0, 8192), batch(8192, 10_000 - 8192)]);
}

#[test]
fn columns_come_in_the_order_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let reader = TableReader::open(&file(&folder, &table(&[batch(0, 3)]))).unwrap();
    let found = reader.batches(&["bool", "id", "bool"]).unwrap().next().unwrap().unwrap();
    let whole = batch(0, 3);
    assert_eq!(found, [whole[5].clone(), whole[0].clone(), whole[5].clone()]);
    assert!(matches!(reader.batches(&["x"]), Err(ColumnarError::ColumnMissing { .. })));
}

#[test]
fn the_cut_into_batches_does_not_show_in_the_bytes() {
    let whole = table(&[batch(0, 200_000)]);
    let cut: Vec<_> = (0..200).map(|n| batch(n * 1000, 1000)).collect();
    assert!(whole == table(&cut), "the tables differ");
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let mut writer = TableWriter::new(Vec::new(), &columns(), &[]).unwrap();
    let mut missing = batch(0, 2);
    missing.pop();
    assert!(matches!(writer.write(missing), Err(ColumnarError::BatchShape { index: 5, found: None, .. })));
    let mut short = batch(0, 2);
    short[1] = Column::Text(vec![None]);
    assert!(matches!(writer.write(short), Err(ColumnarError::BatchShape { index: 1, num_rows: 1, .. })));
    let mut other = batch(0, 2);
    other.swap(1, 2);
    assert!(matches!(writer.write(other), Err(ColumnarError::BatchShape { index: 1, .. })));
}

fn tokens(num_ids: i32) -> SampleTokens {
    let ids = 0..num_ids;
    SampleTokens { input_ids: ids.clone().collect(), labels: ids.map(|id| -id).collect(), image_positions: vec![7; 2] }
}

fn sample_row(n: usize, num_images: usize, image_bytes: usize) -> SampleRow<'static> {
    let image = |index: usize| ImageCell {
        bytes: Cow::Owned(vec![(n + index) as u8; image_bytes]),
        path: format!("{index:03}.jpg"),
    };
    SampleRow {
        id: format!("{n:032x}"),
        source: "s".to_owned(),
        messages: vec![("user".to_owned(), "<image>\n\u{0}é".to_owned()), ("assistant".to_owned(), String::new())],
        images: (0..num_images).map(image).collect(),
        label_spans: vec![(1, 2); n % 3],
        tokens: [None, Some(0), Some(7)][n % 3].map(|num_ids| Cow::Owned(tokens(num_ids))),
        num_tokens: n.cast_signed() as i64,
        num_images: num_images.cast_signed() as i64,
        metadata: "{}".to_owned(),
        ..SampleRow::default()
    }
}

fn samples(rows: &[SampleRow<'_>]) -> Vec<u8> {
    let mut writer = SampleTableWriter::new(Vec::new(), &[]).unwrap();
    for row in rows {
        writer.write(row).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn samples_are_read_back_with_and_without_images() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..250).map(|n| sample_row(n, n % 4, 100)).collect();
    let bytes = samples(&rows);
    assert_eq!(bytes, samples(&rows));
    let path = file(&folder, &bytes);
    let reader = SampleTableReader::open(&path).unwrap();
    let read = |range, images| reader.rows(range, images).unwrap().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(read(0..u64::MAX, ImageBytes::Read), rows);
    assert_eq!(read(99..102, ImageBytes::Read), rows[99..102]);
    let mut bare = rows.clone();
    bare.iter_mut().flat_map(|row| &mut row.images).for_each(|image| image.bytes = Cow::Borrowed(&[]));
    assert_eq!(read(0..250, ImageBytes::Skip), bare);
    assert_eq!(reader.find(&rows[203].id).unwrap(), Some(203));
    assert_eq!(reader.find("x").unwrap(), None);
    let cell = CellReader::new().read(&path, "images", 203, 2).unwrap();
    assert_eq!(cell.as_deref(), Some(&*rows[203].images[2].bytes));
}

#[test]
fn row_groups_are_bounded_by_rows_and_by_bytes() {
    let num_groups = |rows: &[SampleRow<'_>]| {
        let folder = tempfile::tempdir().unwrap();
        let reader = RowReader::open(&file(&folder, &samples(rows))).unwrap();
        reader.num_row_groups()
    };
    let small: Vec<_> = (0..250).map(|n| sample_row(n, 0, 0)).collect();
    assert_eq!(num_groups(&small), 3);
    let large: Vec<_> = (0..5).map(|n| sample_row(n, 2, 8 << 20)).collect();
    assert_eq!(num_groups(&large), 3);
}

#[test]
fn an_empty_table_has_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let reader = SampleTableReader::open(&file(&folder, &samples(&[]))).unwrap();
    assert_eq!(reader.num_rows(), 0);
    assert_eq!(reader.rows(0..1, ImageBytes::Read).unwrap().count(), 0);
    let reader = TableReader::open(&file(&folder, &table(&[]))).unwrap();
    assert_eq!(reader.batches(&["id"]).unwrap().count(), 0);
}

#[test]
fn a_table_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, &table(&[batch(0, 1)]));
    let reader = SampleTableReader::open(&path).unwrap();
    assert!(matches!(reader.rows(0..1, ImageBytes::Skip), Err(ColumnarError::ColumnType { .. })));
    assert!(matches!(
        TableReader::open(&file(&folder, &samples(&[]))),
        Err(ColumnarError::ColumnType { column, .. }) if column == "messages"
    ));
}

#[test]
fn a_damaged_table_gives_errors() {
    let folder = tempfile::tempdir().unwrap();
    let whole = table(&[batch(0, 50)]);
    let read = |bytes: &[u8]| {
        let reader = TableReader::open(&file(&folder, bytes))?;
        let names: Vec<_> = reader.columns().iter().map(|column| column.name.as_str()).collect();
        reader.batches(&names)?.try_for_each(|batch| batch.map(drop))
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
