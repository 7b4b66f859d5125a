//! CSV, TSV and other text with a delimiter: the first line names the columns, every further one is a record.
//!
//! * Fields in quotes may hold delimiters, line ends and doubled quotes, as in RFC 4180. Blank lines are no records.
//! * The delimiter is that which is most often in the first line: a comma, a tab, a semicolon or a bar.
//! * An empty field is null. One that is a JSON list or object of strings or objects is that; every other is a string.
//! * A record with more fields than there are columns, or with fewer, is rejected.
//! * A file without a last line end is whole, but somebody is told. One that ends inside of a quoted field is not, and neither is one
//!   whose last line has no end and too few fields.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use manyframe_core::{RejectCode, Rejection};
use serde_json::value::RawValue;

use crate::fields::kind_of_path;
use crate::json::{
    ByteWindow, LocatedRecord, MAX_HEAD_BYTES, NextRecord, NotRecords, ReadError, byte_order_mark_length, incomplete,
    is_overlong, overlong, overwritten, unwritten,
};
use crate::raw::RawBody;

/// What may be between fields; the first one counts if several are as frequent.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// The columns of a file.
#[derive(Debug)]
pub(crate) struct Columns {
    delimiter: u8,
    names: Vec<String>,
}

impl Columns {
    /// Whether a file that is no JSON may be one: by its name, and because its first line is text.
    pub(crate) fn may_be_in(path: &Path, head: &[u8]) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let name = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        let first = first_line(head);
        let is_text = !first.is_empty() && !first.contains(&0) && !first.starts_with(b"<");
        is_text && [".csv", ".tsv"].iter().any(|ending| name.ends_with(ending))
    }

    /// The columns that the first line of a file names.
    pub(crate) fn read(reader: impl Read, head: &[u8]) -> Result<Self, ReadError> {
        let first = first_line(head);
        let count = |delimiter: &u8| memchr::memchr_iter(*delimiter, first).count();
        let delimiter = DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',');
        let mut scanner = Scanner::new(reader, delimiter);
        let names = match scanner.next_extent()? {
            Some(Extent::Whole(num_bytes) | Extent::Last(num_bytes)) => fields_of(scanner.front(num_bytes), delimiter),
            _ => return Err(no_names("its first line does not end").into()),
        };
        let names: Option<Vec<String>> =
            names.iter().map(|name| std::str::from_utf8(name).ok().map(|name| name.trim().to_owned())).collect();
        let names = names.ok_or_else(|| no_names("its first line is not valid UTF-8"))?;
        if let Some(value) = names.iter().find(|name| kind_of_path(name).is_some()) {
            return Err(no_names(&format!("its first line has {value:?}, which is no name of a column")).into());
        }
        if let Some(twice) = names.iter().enumerate().find(|(at, name)| names.iter().take(*at).any(|it| it == *name)) {
            return Err(no_names(&format!("two of its columns have the name {:?}", twice.1)).into());
        }
        Ok(Self { delimiter, names })
    }

    /// The record in some bytes of a file: all of a line, without its end.
    pub(crate) fn body_of(&self, line: &[u8], is_last: bool) -> RawBody {
        if is_last && !is_closed(line, self.delimiter) {
            return incomplete(
                "the file ends inside of a quoted field; this record and any after it are missing",
                line,
            );
        }
        if let Some(hole) = unwritten(line) {
            return hole;
        }
        if has_stray_quote(line, self.delimiter) {
            let found = "something follows the closing quote of a field; a quote inside of one is written twice";
            if line.contains(&b'\n') {
                // Where the field was meant to end is unknown, and so is how many records are in these lines.
                return incomplete(&format!("several lines became one: {found}"), line);
            }
            return malformed(found.to_owned(), line);
        }
        let fields = fields_of(line, self.delimiter);
        // Some programs end a file with blanks, or with Ctrl-Z.
        let is_text = |byte: &u8| !byte.is_ascii_whitespace() && *byte != 0x1a;
        if is_last && fields.len() < self.names.len() && line.iter().any(is_text) {
            return incomplete("the file ends inside of a record; this one and any after it are missing", line);
        }
        match self.json_of(&fields) {
            Ok(text) => RawBody::Json(text.into_bytes()),
            Err(detail) => match overwritten(line) {
                Some(rejection) => RawBody::Broken { rejection, head: head_of(line) },
                None => malformed(detail, line),
            },
        }
    }

    fn json_of(&self, fields: &[Vec<u8>]) -> Result<String, String> {
        if fields.len() != self.names.len() {
            let (found, expected) = (fields.len(), self.names.len());
            return Err(format!("the line has {found} fields, expected {expected}, as many as the first line"));
        }
        let mut text = String::from("{");
        for (name, field) in self.names.iter().zip(fields) {
            let field = std::str::from_utf8(field)
                .map_err(|error| format!("the field {name:?} is not valid UTF-8: {error}"))?;
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name.as_str()).to_string());
            text.push(':');
            text.push_str(&json_of_field(field));
        }
        text.push('}');
        Ok(text)
    }
}

/// The first line that is not empty.
fn first_line(head: &[u8]) -> &[u8] {
    let text = head.split_at(byte_order_mark_length(head)).1.trim_ascii_start();
    text.split(|&byte| byte == b'\n').next().unwrap_or_default()
}

fn no_names(found: &str) -> NotRecords {
    NotRecords {
        found: Cow::Owned(format!("a table without names of its columns: {found}")),
        advice: Cow::Borrowed("write the names as its first line, such as: image,caption"),
    }
}

fn json_of_field(field: &str) -> Cow<'_, str> {
    if field.is_empty() {
        return Cow::Borrowed("null");
    }
    let is_nested = ["[\"", "[{", "{\""].iter().any(|start| field.starts_with(start));
    if is_nested && serde_json::from_str::<&RawValue>(field).is_ok() {
        return Cow::Borrowed(field);
    }
    Cow::Owned(serde_json::Value::from(field).to_string())
}

fn reader_of(delimiter: u8) -> Reader {
    ReaderBuilder::new().delimiter(delimiter).build()
}

/// The fields of a line, without their quotes.
fn fields_of(line: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut reader = reader_of(delimiter);
    let mut text = vec![0; line.len()];
    let mut ends = vec![0; memchr::memchr_iter(delimiter, line).count() + 1];
    let (mut num_read, mut num_text, mut num_ends) = (0, 0, 0);
    loop {
        let rest = line.get(num_read..).unwrap_or_default();
        let (text, ends) = (text.get_mut(num_text..).unwrap_or_default(), ends.get_mut(num_ends..).unwrap_or_default());
        let (result, read, written, ended) = reader.read_record(rest, text, ends);
        (num_read, num_text, num_ends) = (num_read + read, num_text + written, num_ends + ended);
        // At the end of the line, an empty rest says that there is no more.
        if result != ReadRecordResult::InputEmpty {
            break;
        }
    }
    let mut start = 0;
    let mut fields = Vec::new();
    for &end in ends.iter().take(num_ends) {
        fields.push(text.get(start..end).unwrap_or_default().to_vec());
        start = end;
    }
    fields
}

fn malformed(detail: String, line: &[u8]) -> RawBody {
    RawBody::Broken { rejection: Rejection::new(RejectCode::MalformedRecord, detail), head: head_of(line) }
}

fn head_of(line: &[u8]) -> Vec<u8> {
    line.get(..MAX_HEAD_BYTES).unwrap_or(line).to_vec()
}

/// Whether a field in quotes goes on behind its closing quote.
fn has_stray_quote(line: &[u8], delimiter: u8) -> bool {
    let mut rest = line;
    loop {
        let num_bytes = if rest.first() == Some(&b'"') {
            let mut end = 1;
            loop {
                let Some(quote) = rest.get(end..).and_then(|rest| memchr::memchr(b'"', rest)) else { return false };
                end += quote + 1;
                match rest.get(end) {
                    Some(b'"') => end += 1,
                    Some(&byte) if byte != delimiter => return true,
                    _ => break,
                }
            }
            end
        } else {
            memchr::memchr(delimiter, rest).unwrap_or(rest.len())
        };
        match rest.get(num_bytes + 1..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
}

/// Whether a line ends outside of quotes.
fn is_closed(line: &[u8], delimiter: u8) -> bool {
    let mut scan = Scan { reader: reader_of(delimiter) };
    scan.advance(line);
    scan.advance(b"\n").is_some()
}

/// Follows a line to its end.
struct Scan {
    reader: Reader,
}

impl Scan {
    /// How many of the bytes that follow are of the line, if it ends in them.
    fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        let (mut text, mut ends) = ([0; 4096], [0; 64]);
        let mut num_read = 0;
        loop {
            let rest = bytes.get(num_read..).filter(|rest| !rest.is_empty())?;
            let (result, read, ..) = self.reader.read_record(rest, &mut text, &mut ends);
            num_read += read;
            if matches!(result, ReadRecordResult::Record | ReadRecordResult::End) {
                return Some(num_read);
            }
        }
    }
}

/// How the line at the front of the window continues.
enum Extent {
    Whole(usize),
    /// The file ends in it, or after it.
    Last(usize),
    TooLong,
}

/// Finds lines.
struct Scanner<R> {
    window: ByteWindow<R>,
    delimiter: u8,
    is_started: bool,
}

impl<R: Read> Scanner<R> {
    fn new(reader: R, delimiter: u8) -> Self {
        Self { window: ByteWindow::new(reader), delimiter, is_started: false }
    }

    /// The bytes of the line at the front, without its end.
    fn front(&self, num_bytes: usize) -> &[u8] {
        let bytes = self.window.bytes();
        let line = bytes.get(..num_bytes).unwrap_or(bytes);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Moves to the next line that is not blank.
    fn next_extent(&mut self) -> std::io::Result<Option<Extent>> {
        if !self.is_started {
            self.window.grow()?;
            self.window.consume(byte_order_mark_length(self.window.bytes()));
            self.is_started = true;
        }
        if !self.window.consume_while(|byte| matches!(byte, b'\n' | b'\r'))? {
            return Ok(None);
        }
        let mut scan = Scan { reader: reader_of(self.delimiter) };
        let mut num_scanned = 0;
        loop {
            let bytes = self.window.bytes().split_at(num_scanned).1;
            if let Some(num_bytes) = scan.advance(bytes) {
                return Ok(Some(Extent::Whole(num_scanned + num_bytes)));
            }
            num_scanned += bytes.len();
            if is_overlong(num_scanned) {
                return Ok(Some(Extent::TooLong));
            }
            if !self.window.grow()? {
                return Ok(Some(Extent::Last(num_scanned)));
            }
        }
    }

    /// Passes a line that is too long to be kept.
    fn skip(&mut self) -> std::io::Result<()> {
        let mut scan = Scan { reader: reader_of(self.delimiter) };
        loop {
            let bytes = self.window.bytes();
            let end = scan.advance(bytes);
            let num_bytes = end.unwrap_or(bytes.len());
            self.window.consume(num_bytes);
            if end.is_some() || !self.window.grow()? {
                return Ok(());
            }
        }
    }
}

/// Reads the records of a file: all lines but the first.
pub(crate) struct DelimitedRecords<R> {
    scanner: Scanner<R>,
    columns: Arc<Columns>,
    is_past_names: bool,
    is_unended: bool,
}

impl<R: Read> DelimitedRecords<R> {
    pub(crate) fn new(reader: R, columns: Arc<Columns>) -> Self {
        Self { scanner: Scanner::new(reader, columns.delimiter), columns, is_past_names: false, is_unended: false }
    }

    /// The records of a window that begins with one.
    pub(crate) fn of_window(window: ByteWindow<R>, columns: Arc<Columns>) -> Self {
        let scanner = Scanner { window, delimiter: columns.delimiter, is_started: true };
        Self { scanner, columns, is_past_names: true, is_unended: false }
    }

    /// Whether the last record was found at the end of the file, without a line end.
    pub(crate) fn is_unended(&self) -> bool {
        self.is_unended
    }

    /// The next record.
    pub(crate) fn next_record(&mut self) -> NextRecord {
        if !self.is_past_names {
            if let Some(Extent::Whole(num_bytes) | Extent::Last(num_bytes)) = self.scanner.next_extent()? {
                self.scanner.window.consume(num_bytes);
            }
            self.is_past_names = true;
        }
        let (num_bytes, is_last) = match self.scanner.next_extent()? {
            None => return Ok(None),
            Some(Extent::Whole(num_bytes)) => (num_bytes, false),
            Some(Extent::Last(num_bytes)) => (num_bytes, true),
            Some(Extent::TooLong) => {
                let start = self.scanner.window.position(0);
                let body = overlong(self.scanner.window.bytes());
                self.scanner.skip()?;
                return Ok(Some(LocatedRecord { position: self.scanner.window.consumed_since(start), body }));
            }
        };
        self.is_unended = is_last;
        let line = self.scanner.front(num_bytes);
        let body = self.columns.body_of(line, is_last);
        let position = self.scanner.window.position(line.len() as u64);
        self.scanner.window.consume(num_bytes);
        Ok(Some(LocatedRecord { position, body }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let columns = Columns::read(text.as_bytes(), text.as_bytes()).map_err(|error| match error {
            ReadError::NotRecords(it) => it.found.into_owned(),
            other => panic!("{other:?}"),
        })?;
        let columns = Arc::new(columns);
        let mut records = DelimitedRecords::new(text.as_bytes(), columns);
        let mut found = Vec::new();
        while let Some(record) = records.next_record().unwrap() {
            found.push(match record.body {
                RawBody::Broken { rejection, .. } => rejection.to_string(),
                whole => String::from_utf8(whole.text().to_vec()).unwrap(),
            });
        }
        Ok(found)
    }

    #[test]
    fn a_quote_that_ends_no_field_loses_no_record_in_silence() {
        let columns = Columns { delimiter: b'\t', names: vec!["image".to_owned(), "caption".to_owned()] };
        let code = |line: &str| match columns.body_of(line.as_bytes(), false) {
            RawBody::Broken { rejection, .. } => Some(rejection.code),
            _ => None,
        };
        assert_eq!(code("1.jpg\t\"Hi\" she said"), Some(RejectCode::MalformedRecord));
        assert_eq!(code("1.jpg\t\"A sign\n2.jpg\tsays \"hi\""), Some(RejectCode::IncompleteFile));
        for whole in ["1.jpg\t\"A \"\"b\"\"\nc\"", "1.jpg\tsays \"hi\"", "\"1.jpg\"\t\"\"", "\t"] {
            assert_eq!(code(whole), None, "{whole:?}");
        }
    }

    #[test]
    fn lines_are_records_and_the_first_names_their_fields() {
        let text =
            "\u{feff}image, caption\r\n1.jpg,\"A \"\"beach\"\",\r\nwith sand.\"\r\n\r\n2.jpg,\n3.jpg,\"[\"\"a\"\"]\"";
        let expected = [
            r#"{"image":"1.jpg","caption":"A \"beach\",\r\nwith sand."}"#,
            r#"{"image":"2.jpg","caption":null}"#,
            r#"{"image":"3.jpg","caption":["a"]}"#,
        ];
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("image\tcaption\n1.jpg\tA, b\n").unwrap(), [r#"{"image":"1.jpg","caption":"A, b"}"#]);
        assert_eq!(read("a;b\n1;2").unwrap(), [r#"{"a":"1","b":"2"}"#]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(
            read("a,b\n1\n2,3\n4,5,6\n").unwrap(),
            [
                "malformed_record: the line has 1 fields, expected 2, as many as the first line",
                r#"{"a":"2","b":"3"}"#,
                "malformed_record: the line has 3 fields, expected 2, as many as the first line",
            ]
        );
        let cut = read("a,b\n1,2\n3,\"4\n5,6\n").unwrap();
        assert!(cut[1].starts_with("incomplete_file: the file ends inside of a quoted field"), "{cut:?}");
        let cut = read("a,b\n1,2\n3").unwrap();
        assert!(cut[1].starts_with("incomplete_file: the file ends inside of a record"), "{cut:?}");
        assert!(read("a,b\n1,2\n3,4,5").unwrap()[1].starts_with("malformed_record"));
        assert!(read("1.jpg,A beach.\n2.jpg,A cat.\n").unwrap_err().contains("\"1.jpg\", which is no name"));
        assert!(read("a,a\n1,2\n").unwrap_err().contains("two of its columns have the name \"a\""));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in prop::collection::vec(prop::collection::vec("[a-z \",\n\u{e9}]{1,12}", 3), 1..8)) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n";
            let text = format!("x,y,z\n{}", rows.iter().map(line).collect::<String>());
            let expected: Vec<String> = rows
                .iter()
                .map(|row| serde_json::json!({"x": row[0], "y": row[1], "z": row[2]}).to_string())
                .collect();
            prop_assert_eq!(read(&text).unwrap(), expected);
        }
    }
}
