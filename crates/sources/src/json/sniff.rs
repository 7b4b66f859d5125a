//! Identifies the format of a file by its first bytes. Names do not matter: `.json` files contain JSON lines, and vice
//! versa.

use crate::json::grammar::{Grammar, ScanStep};
use crate::json::wrapper::{Outer, outer_of};

/// How many bytes of a file are examined.
pub(crate) const SNIFFED_BYTES: u64 = 1 << 16;

/// How records are laid out in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// One array of objects.
    Array,
    /// One object after another, each over several lines.
    Objects,
    /// One object a line.
    Lines,
    /// One object around an array of objects, whose first item is at or after this position of the file.
    Wrapped {
        /// The position after the array's bracket.
        start: usize,
    },
    /// Parquet.
    Rows,
}

/// A file without records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotRecords {
    /// What it looks like.
    pub(crate) found: &'static str,
    /// What to do about it.
    pub(crate) advice: &'static str,
}

/// Starts of files that are often found in place of annotations.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (b"version https://git-lfs", "a git-lfs pointer", "run `git lfs pull`, or download the file itself"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first: `gunzip FILE`"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "unpack it first: `unzstd FILE`"),
    (b"\xfd7zXZ\0", "compressed with xz", "unpack it first: `unxz FILE`"),
    (b"BZh", "compressed with bzip2", "unpack it first: `bunzip2 FILE`"),
    (b"PK\x03\x04", "a zip archive", "unpack it first, and name the annotation file in it"),
    (b"PK\x05\x06", "an empty zip archive", "download it again"),
    (b"ARROW1", "an Arrow file", "convert it to Parquet"),
    (b"\xff\xfe", "text in UTF-16", "convert it to UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "convert it to UTF-8"),
    (b"<", "a page of HTML or XML", "the download failed or needs a login; download it again"),
    (b"{\"error\"", "an error message", "the download failed or needs a login; download it again"),
];

/// One object around more than one list that could be the records.
pub(crate) const SEVERAL_LISTS: NotRecords = NotRecords {
    found: "one object around more than one list of objects",
    advice: "write the list of records to a separate file: `jq -c '.NAME[]' FILE > FILE.jsonl`",
};

/// Length of the byte order mark at the start, if there is one.
pub(crate) fn byte_order_mark_length(head: &[u8]) -> usize {
    if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// The format of a file, from its first bytes: all of it, or at least [`SNIFFED_BYTES`].
pub(crate) fn format_of(head: &[u8]) -> Result<FileFormat, NotRecords> {
    if head.starts_with(b"PAR1") {
        return Ok(FileFormat::Rows);
    }
    let text = head.split_at(byte_order_mark_length(head)).1;
    let text = text.trim_ascii_start();
    if let Some(&(_, found, advice)) = KNOWN.iter().find(|(start, ..)| text.starts_with(start)) {
        return Err(NotRecords { found, advice });
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(NotRecords {
            found: "a tar archive",
            advice: "unpack it first, and name the annotation file in it",
        });
    }
    match text {
        [] => Err(NotRecords { found: "empty", advice: "download it again, or leave it out" }),
        [b'[', items @ ..] => format_of_array(items),
        [b'{', ..] => Ok(match format_of_objects(text)? {
            FileFormat::Wrapped { start } => FileFormat::Wrapped { start: head.len() - text.len() + start },
            format => format,
        }),
        [byte, ..] if byte.is_ascii_graphic() => {
            Err(NotRecords { found: "text, but not JSON", advice: "convert it to JSON lines" })
        }
        [_, ..] => Err(BINARY),
    }
}

const BINARY: NotRecords = NotRecords { found: "binary data of no known kind", advice: "download it again" };

fn format_of_array(items: &[u8]) -> Result<FileFormat, NotRecords> {
    match items.trim_ascii_start().first() {
        // Anything other than an object may be damage, but says nothing about where objects start.
        Some(b'[' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n') => Err(NotRecords {
            found: "an array whose first element is not an object",
            advice: "name the annotation file, which has one object per record",
        }),
        _ => Ok(FileFormat::Array),
    }
}

fn format_of_objects(text: &[u8]) -> Result<FileFormat, NotRecords> {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let is_object = |line: &[u8]| Grammar::new().advance(line) == ScanStep::Complete(line.len());
    let outer = if is_object(first) && !second.is_empty() { Outer::Record } else { outer_of(text) };
    match outer {
        Outer::Wrapper { start } => Ok(FileFormat::Wrapped { start }),
        Outer::SeveralLists => Err(SEVERAL_LISTS),
        // Two lines are checked, so that damage in one of them does not make the file something else.
        Outer::Record if second.starts_with(b"{") && (is_object(first) || is_object(second)) => Ok(FileFormat::Lines),
        Outer::Record => {
            Ok(if second.is_empty() || is_object(first) { FileFormat::Lines } else { FileFormat::Objects })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(head: &str) -> Result<FileFormat, &'static str> {
        format_of(head.as_bytes()).map_err(|not_records| not_records.found)
    }

    #[test]
    fn content_decides() {
        assert_eq!(format("[\n {\"id\": 1}"), Ok(FileFormat::Array));
        assert_eq!(format("\u{feff} [{"), Ok(FileFormat::Array));
        assert_eq!(format("[]"), Ok(FileFormat::Array));
        assert_eq!(format("\n{\"id\": 1}\n{\"id\": 2}"), Ok(FileFormat::Lines));
        assert_eq!(format("{\"id\": 1, \n{\"id\": 2}\n"), Ok(FileFormat::Lines));
        assert_eq!(format("{\"id\": [1, 2"), Ok(FileFormat::Lines));
        assert_eq!(format("{\n \"id\": 1\n}\n{\n \"id\": 2\n}"), Ok(FileFormat::Objects));
        assert_eq!(format("PAR1\x15"), Ok(FileFormat::Rows));
        assert_eq!(format("{\"QA\": [{\"q\": \"\"}]}"), Ok(FileFormat::Lines));
        assert_eq!(format("{\"a\": NaN, \"b\": [{}]}\n{\"a\": NaN}"), Ok(FileFormat::Lines));
        assert_eq!(format("\u{feff} {\"data\": [\n {\"id\""), Ok(FileFormat::Wrapped { start: 14 }));
        assert_eq!(format("{\"data\": [\n{\"id\": 1}\n]}"), Ok(FileFormat::Wrapped { start: 10 }));
    }

    #[test]
    fn what_is_not_records_is_named() {
        assert_eq!(format("version https://git-lfs.github.com/spec/v1\noid"), Err("a git-lfs pointer"));
        assert_eq!(format("<!DOCTYPE html>"), Err("a page of HTML or XML"));
        assert_eq!(format(""), Err("empty"));
        assert_eq!(format(" \n"), Err("empty"));
        assert_eq!(format("\0\0\0\0"), Err("binary data of no known kind"));
        assert_eq!(format("PK\x03\x04"), Err("a zip archive"));
        assert_eq!(format("id,image\n1,a.jpg"), Err("text, but not JSON"));
        assert_eq!(format("{\"a\": [{\"id\": 1}], \"b\": [{\"id\": 2}]}"), Err(SEVERAL_LISTS.found));
        assert_eq!(format("[\"a\", \"b\"]"), Err("an array whose first element is not an object"));
        assert_eq!(format_of(b"\x1f\x8b\x08").map_err(|it| it.found), Err("compressed with gzip"));
    }
}
