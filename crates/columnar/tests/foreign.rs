//! Foreign files as rows and cells: files that pyarrow wrote (`fixtures/make.py`), and damaged copies of them.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read fails the test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use manyframe_columnar::{CellLocation, CellReader, ColumnarError, Row, RowReader};
use serde_json::{Value, json};

/// Damaged copies of each fixture.
const NUM_DAMAGES: usize = 100;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.parquet"))
}

fn values(reader: &RowReader) -> Vec<Value> {
    let rows = reader.rows(0..u64::MAX).unwrap();
    rows.map(|row| match row.unwrap() {
        (_, Row::Json(text)) => serde_json::from_str(&text).unwrap(),
        (number, Row::Broken { detail }) => panic!("row {number}: {detail}"),
    })
    .collect()
}

#[test]
fn every_type_has_a_json_form() {
    let rows = values(&RowReader::open(&fixture("types")).unwrap());
    let first = json!({
        "null": null, "large_text": "a\"\n", "text_view": "é", "binary_view": true, "large_binary": null,
        "fixed_binary": true, "dictionary": "x", "large_list": [1, null], "fixed_list": [1, 2], "u64": u64::MAX,
        "i64": i64::MIN, "f16": 1.5, "f32": 0.1, "f64": 0.1, "bool": true, "decimal": 12.30, "date": "2024-02-29",
        "time": "01:02:03", "local": "2024-02-29T01:00:00", "zoned": "2024-02-29T12:30:00Z", "duration": 3000,
        "map": [{"key": "k", "value": 1}], "uuid": "00000000000000000000000000000001",
        "nested_null": {"seed": null, "t": 0.5}, "null_list": [null],
    });
    assert_eq!(rows[0], first);
    assert_eq!(rows[1]["f32"], Value::Null);
    assert_eq!(rows[1]["large_binary"], json!(true));
    assert_eq!(rows[1]["nested_null"], Value::Null);
}

#[test]
fn columns_keep_their_order() {
    let reader = RowReader::open(&fixture("images")).unwrap();
    assert_eq!(reader.column_names(), ["id", "images", "image", "blobs", "blob", "no_bytes"]);
    let Row::Json(text) = reader.row(0).unwrap() else { panic!("row 0 is broken") };
    assert!(text.starts_with(r#"{"id":"0","images":[{"path":"a.jpg","bytes":true}],"image":"#), "{text}");
}

#[test]
fn two_columns_of_one_name_are_an_error() {
    let mut bytes = std::fs::read(fixture("images")).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 5).filter(|&at| bytes[at..].starts_with(b"blobs")).collect();
    for at in places {
        bytes[at..at + 5].copy_from_slice(b"image");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let error = RowReader::open(file.path()).unwrap_err();
    assert!(matches!(&error, ColumnarError::ColumnTwice { column, .. } if column == "image"), "{error}");
}

#[test]
fn binary_values_are_shown_by_their_presence() {
    let (have, lack) = (json!({"path": "a.jpg", "bytes": true}), json!({"path": "b.jpg", "bytes": null}));
    let expected = [
        json!([have]),
        json!([have, have]),
        json!([lack]),
        json!([lack]),
        json!(null),
        json!([have]),
        json!([]),
        json!([null, have]),
        json!([have, lack]),
        json!([have]),
    ];
    for name in ["images", "images_indexed"] {
        let rows = values(&RowReader::open(&fixture(name)).unwrap());
        let found: Vec<_> = rows.iter().map(|row| row["images"].clone()).collect();
        assert_eq!(found, expected, "{name}");
        for row in &rows {
            let list = row["images"].as_array().cloned();
            let first = list.as_ref().and_then(|list| list.first().cloned()).unwrap_or_default();
            assert_eq!(row["image"], first, "{name}");
            assert_eq!(row["blob"], first.get("bytes").cloned().unwrap_or_default(), "{name}");
            let blobs = list.map(|list| list.iter().map(|image| image.get("bytes").cloned()).collect::<Vec<_>>());
            assert_eq!(row["blobs"], json!(blobs), "{name}");
            assert_eq!(row["no_bytes"], json!([{"bytes": null, "path": "z"}]));
        }
    }
}

#[test]
fn a_range_of_rows_is_the_middle_of_all_rows() {
    let reader = RowReader::open(&fixture("images_indexed")).unwrap();
    let all: Vec<_> = reader.rows(0..99).unwrap().map(Result::unwrap).collect();
    assert_eq!(all.len(), 10);
    for start in 0..all.len() {
        for end in start..=all.len() {
            let part: Vec<_> = reader.rows(start as u64..end as u64).unwrap().map(Result::unwrap).collect();
            assert_eq!(part, all[start..end]);
        }
        assert_eq!(reader.row(start as u64).unwrap(), all[start].1);
    }
    assert!(matches!(reader.row(10), Err(ColumnarError::RowMissing { row: 10, num_rows: 10, .. })));
}

#[test]
fn text_that_is_not_utf8_breaks_its_own_row_only() {
    for name in ["invalid_utf8", "invalid_utf8_plain"] {
        let reader = RowReader::open(&fixture(name)).unwrap();
        let rows: Vec<_> = reader.rows(0..4).unwrap().map(|row| row.unwrap().1).collect();
        assert_eq!(rows[0], Row::Json(r#"{"n":0,"text":"ok"}"#.to_owned()));
        assert_eq!(rows[2], Row::Json(r#"{"n":2,"text":"also ok"}"#.to_owned()));
        for row in [1, 3] {
            let Row::Broken { detail } = &rows[row] else { panic!("row {row} of {name} is not broken") };
            assert!(detail.starts_with("text: text is not UTF-8"), "{detail}");
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the file is damaged on purpose")]
fn a_page_that_does_not_have_its_checksum_is_an_error() {
    let whole = std::fs::read(fixture("checksums")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    std::fs::write(&path, &whole).unwrap();
    read_everything(&path).unwrap();
    let at = whole.windows(16).position(|bytes| bytes == b"caption number 4").unwrap();
    let mut damaged = whole.clone();
    damaged[at] = b'b';
    std::fs::write(&path, &damaged).unwrap();
    let error = read_everything(&path).unwrap_err();
    assert!(format!("{error:?}").contains("CRC checksum mismatch"), "{error:?}");
}

#[test]
fn cells_of_every_kind_of_column_are_read() {
    let cells = CellReader::new();
    for name in ["images", "images_indexed"] {
        let file = fixture(name);
        let read = |column, row, index| cells.read(&CellLocation { file: &file, column, row, index }).unwrap();
        let fail = |column, row| cells.read(&CellLocation { file: &file, column, row, index: 0 }).unwrap_err();
        let a = Some(b"A".to_vec());
        // Out of order on purpose: cursors are reused, passed over and reopened.
        for row in [9, 0, 5, 1, 1, 8, 0] {
            for column in ["images", "image", "blobs", "blob"] {
                assert_eq!(read(column, row, 0), a, "{name} {column} {row}");
            }
        }
        assert_eq!(read("images", 1, 1), a);
        assert_eq!(read("images", 7, 0), None, "a null struct");
        assert_eq!(read("images", 7, 1), a);
        assert_eq!(read("images", 8, 1), None, "null bytes");
        assert_eq!(read("blobs", 8, 1), None);
        assert_eq!(read("images", 1, 2), None, "past the end of the list");
        assert_eq!(read("images", 4, 0), None, "a null list");
        assert_eq!(read("images", 6, 0), None, "an empty list");
        assert_eq!(read("no_bytes", 0, 0), None, "a column of type null");
        assert_eq!(read("image", 0, 1), None, "not a list");
        assert!(matches!(fail("id", 0), ColumnarError::ColumnType { .. }));
        assert!(matches!(fail("x", 0), ColumnarError::ColumnMissing { .. }));
        assert!(matches!(fail("blob", 10), ColumnarError::RowMissing { .. }));
    }
}

#[test]
fn cells_can_be_read_by_many_threads() {
    let cells = CellReader::new();
    let file = fixture("images_indexed");
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (cells, file) = (&cells, &file);
            scope.spawn(move || {
                for step in 0..50 {
                    let row = [0, 1, 5, 8, 9][((thread * 7 + step * 3) % 5) as usize];
                    assert_eq!(
                        cells.read(&CellLocation { file, column: "images", row, index: 0 }).unwrap(),
                        Some(b"A".to_vec())
                    );
                }
            });
        }
    });
}

/// Reads all there is to read. The result does not matter; that there is one does.
fn read_everything(path: &Path) -> Result<(), ColumnarError> {
    let reader = RowReader::open(path)?;
    let columns: Vec<_> = reader.column_names().into_iter().map(str::to_owned).collect();
    let cells = CellReader::new();
    for column in columns {
        for row in 0..reader.num_rows().min(12) {
            drop(cells.read(&CellLocation { file: path, column: &column, row, index: 0 }));
        }
    }
    // A damaged footer may claim any number of rows.
    reader.rows(0..1000)?.try_for_each(|row| row.map(drop))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the files are damaged on purpose")]
fn damaged_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["types", "images", "images_indexed", "invalid_utf8"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let path = folder.path().join(name);
        for num_bytes in (0..whole.len()).step_by(97) {
            std::fs::write(&path, &whole[..num_bytes]).unwrap();
            assert!(read_everything(&path).is_err(), "{name} cut to {num_bytes} bytes");
        }
        // A fixed sequence of damages, one or two bytes each.
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for _ in 0..NUM_DAMAGES {
            let mut damaged = whole.clone();
            for _ in 0..=next() % 2 {
                let position = next() % damaged.len();
                damaged[position] = next() as u8;
            }
            std::fs::write(&path, &damaged).unwrap();
            drop(read_everything(&path));
        }
    }
}

#[test]
fn what_is_not_a_file_cannot_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(RowReader::open(folder.path()), Err(ColumnarError::Open { .. })));
    assert!(matches!(RowReader::open(&folder.path().join("absent")), Err(ColumnarError::Open { .. })));
}

#[test]
fn rows_can_be_read_on_another_thread() {
    fn sendable(_: impl Send) {}
    sendable(RowReader::open(&fixture("types")).unwrap().rows(0..1).unwrap());
}

#[test]
fn real_files_of_others_can_be_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = std::env::var_os("MANYFRAME_SHARED").map_or(root.join("../shared"), PathBuf::from);
    let Ok(files) = std::fs::read_dir(shared.join("samples/parquet_real")) else {
        return manyframe_skip::skip(&format!("{} has no samples", shared.display()));
    };
    for file in files {
        let path = file.unwrap().path();
        let reader = RowReader::open(&path).unwrap();
        let rows: Vec<_> = reader.rows(0..u64::MAX).unwrap().map(|row| row.unwrap().1).collect();
        assert_eq!(rows.len() as u64, reader.num_rows());
        let invalid = path.ends_with("daft_invalid_utf8.parquet");
        assert!(rows.iter().all(|row| matches!(row, Row::Broken { .. }) == invalid), "{path:?}");
    }
}

#[test]
fn a_file_that_expands_without_end_costs_its_rows_and_little_memory() {
    let broken = |name: &str| {
        let rows = RowReader::open(&fixture(name)).unwrap();
        let rows = rows.rows(0..u64::MAX).unwrap().map(Result::unwrap);
        rows.filter(|(_, row)| matches!(row, Row::Broken { detail } if detail.contains("more than 16777216 bytes")))
            .count()
    };
    assert_eq!(broken("dictionary"), 110);
    assert_eq!(broken("long_row"), 1);
}
