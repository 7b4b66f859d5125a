//! Parquet files as upstream publishes them; `tests/golden/make_tables.py` wrote them with pyarrow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_columnar::{CellLocation, CellReader};
use manyframe_core::{BlobRef, MediaLocation, MediaRef};
use manyframe_sources::SourceKind::{self, Auto, Llava, Mantis, Text};
use manyframe_sources::{SourceError, SourceOptions};

use crate::support::{file_of, parse_all, shown, source_of};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.parquet"))
}

/// Each record's visuals by file name or by the bytes of their cells, and its text.
fn shown_table(kind: SourceKind, name: &str) -> Vec<String> {
    let path = golden(name);
    let cells = CellReader::new();
    let parsed = parse_all(source_of(kind, SourceOptions::default(), &path, "").as_ref());
    let shown = parsed.iter().map(|one| {
        let mut text = shown(one);
        for medium in one.iter().flat_map(|record| &record.media) {
            text = text.replace(&medium.location.name(), &bytes_of(medium, &cells).unwrap_or(medium.location.name()));
        }
        text
    });
    shown.collect()
}

fn bytes_of(medium: &MediaRef, cells: &CellReader) -> Option<String> {
    let MediaLocation::Blob(BlobRef::Cell { file, column, row, index }) = &medium.location else { return None };
    let location = CellLocation { file: Path::new(&**file), column, row: *row, index: *index };
    let bytes = cells.read(&location).unwrap();
    Some(String::from_utf8(bytes.unwrap()).unwrap())
}

#[test]
fn bytes_in_the_table_are_used_where_they_are_there() {
    let expected = [
        r#"U [first] " " [second] " same?" A "no""#,
        r#"U [c.png] "what?" A "it""#,
        r#"U "hi" A "ho""#,
        r#"U "what?" [third] A "that""#,
    ];
    assert_eq!(shown_table(Mantis, "mantis_bytes"), expected);
    assert_eq!(shown_table(Llava, "llava_next"), [r#"U [only] "\nwhat?" A "it""#, r#"U "hi" A "ho""#]);
    assert_eq!(shown_table(Llava, "binary_lists"), [r#"U [x] [y] A "xy""#, r#"U [z] A "z""#]);
}

#[test]
fn parts_name_images_of_the_table_by_their_index() {
    let expected = [
        r#"U "first " [x] " second " [y] A "it""#,
        r#"U "first " [y] " second " [x] A "it""#,
        "placeholder_mismatch",
        "placeholder_mismatch",
    ];
    for kind in [Auto, Llava] {
        assert_eq!(shown_table(kind, "llava_vsft"), expected);
    }
}

#[test]
fn answers_that_are_numbers_are_their_texts_and_truth_values_could_be_bytes() {
    assert_eq!(shown_table(Auto, "numbers"), [r#"U "many?" A "3""#, r#"U "few?" A "0""#]);
    assert_eq!(shown_table(Auto, "truths"), ["unexpected_schema"; 2]);
}

#[test]
fn bytes_that_nothing_reads_reject_their_record() {
    assert_eq!(shown_table(Auto, "bytes_beside"), ["unexpected_schema", r#"U "hi" A "ho""#]);
    assert_eq!(shown_table(Auto, "bytes_within"), ["unexpected_schema", r#"U "hi" A "ho""#]);
    let described = r#"U [x] "Describe this image." A "it""#;
    assert_eq!(shown_table(Auto, "bytes_of_digests"), [described, "unexpected_schema"]);
    let fields = BTreeMap::from([("image".to_owned(), "pic".to_owned())]);
    let options = SourceOptions { fields, ..SourceOptions::default() };
    let parsed = parse_all(source_of(Auto, options, &golden("bytes_beside"), "").as_ref());
    assert_eq!(parsed.iter().map(|record| record.as_ref().unwrap().media.len()).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn columns_of_type_null_are_not_there() {
    assert_eq!(shown_table(Mantis, "mantis_null"), [r#"U [a.png] A "it""#]);
    assert_eq!(shown_table(Text, "magpie"), [r#"U "hi" A "ho""#]);
}

#[test]
fn subsets_and_ids_are_columns() {
    let parsed = parse_all(source_of(Mantis, SourceOptions::default(), &golden("mantis_bytes"), "").as_ref());
    let named: Vec<_> =
        parsed.iter().map(|one| one.as_ref().map(|it| (&*it.upstream_id, &*it.subset)).unwrap()).collect();
    assert_eq!(named, [("two", "nlvr2"), ("path", "nlvr2"), ("text", ""), ("nameless", "iconqa")]);
    let parsed = parse_all(source_of(Text, SourceOptions::default(), &golden("magpie"), "").as_ref());
    assert_eq!(parsed[0].as_ref().unwrap().upstream_id, "u");
}

#[test]
fn splits_of_a_table_are_ranges_of_rows() {
    let source = source_of(Mantis, SourceOptions::default(), &golden("mantis_bytes"), "");
    let splits = source.splits().unwrap();
    assert_eq!(splits.iter().map(|split| split.rows.clone()).collect::<Vec<_>>(), [Some(0..4)]);
    let mut half = splits[0].clone();
    half.rows = Some(1..3);
    assert_eq!(source.read(&half).unwrap().count(), 2);
}

/// A Parquet file without values whose footer claims this many rows, with one column or none.
fn claiming(num_rows: u64, has_column: bool) -> Vec<u8> {
    // Thrift's compact protocol: numbers are zigzag varints; a field is a byte of its distance and type.
    let mut rows = vec![0x16];
    let mut rest = num_rows << 1;
    while rest > 0x7f {
        rows.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    rows.push(rest as u8);
    let (schema, columns) = if has_column {
        let schema = b"\x19\x2c\x48\x04root\x15\x02\0\x15\x02\x25\0\x18\x01x\0".to_vec();
        let start = b"\x19\x1c\x26\0\x1c\x15\x02\x19\x15\0\x19\x18\x01x\x15\0";
        (schema, [start, &*rows, b"\x16\0\x16\0\x26\x08\0\0"].concat())
    } else {
        (b"\x19\x1c\x48\x04root\x15\0\0".to_vec(), b"\x19\x0c".to_vec())
    };
    let footer = [b"\x15\x02", &*schema, &rows, b"\x19\x1c", &columns, b"\x16\0", &rows, b"\0\0"].concat();
    [b"PAR1", &*footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn rows_that_are_only_claimed_cost_nothing() {
    let all_of = |num_rows, has_column| {
        let file = file_of(claiming(num_rows, has_column));
        let source = source_of(Text, SourceOptions::default(), file.path(), "");
        let splits = source.splits()?;
        assert!(splits.len() <= 1 << 16, "{} splits", splits.len());
        assert_eq!(splits.last().unwrap().rows.as_ref().unwrap().end, num_rows);
        source.read(&splits[0])?.next().unwrap()
    };
    for (num_rows, has_column) in [(3, true), (1 << 61, true), (3, false), (1 << 61, false)] {
        assert!(matches!(all_of(num_rows, has_column), Err(SourceError::Rows { .. })), "{num_rows} {has_column}");
    }
}
