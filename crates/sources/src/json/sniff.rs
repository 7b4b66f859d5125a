//! Identifies the format of a text by its first bytes. Names do not matter: `.json` files contain JSON lines, and vice
//! versa.

use std::borrow::Cow;

use crate::json::grammar::{Grammar, ScanStep, first_of_several};
use crate::json::wrapper::{Outer, list_before_others, outer_of};

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
}

/// A file without records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotRecords {
    /// What it looks like.
    pub(crate) found: Cow<'static, str>,
    /// What to do about it.
    pub(crate) advice: Cow<'static, str>,
}

impl NotRecords {
    const fn new(found: &'static str, advice: &'static str) -> Self {
        Self { found: Cow::Borrowed(found), advice: Cow::Borrowed(advice) }
    }

    /// A compressed file of which nothing can be unpacked.
    pub(crate) fn cut_off(damage: &str) -> Self {
        Self { found: Cow::Owned(format!("cut off or damaged: {damage}")), advice: Cow::Borrowed("download it again") }
    }

    /// No list of a name, but others.
    pub(crate) fn no_list(wanted: &str, others: &[String]) -> Self {
        let others: Vec<String> = others.iter().map(|name| format!("{name:?}")).collect();
        let others = if others.is_empty() { "no list of objects".to_owned() } else { others.join(", ") };
        Self {
            found: Cow::Owned(format!("without a list {wanted:?} of objects; it has {others}")),
            advice: Cow::Borrowed("name the one with the records: list = \"…\""),
        }
    }

    /// An object around a list of objects, and other objects behind it: either could be the records.
    pub(crate) fn list_before_others(name: &str) -> Self {
        Self {
            found: Cow::Owned(format!("an object around a list of objects, {name:?}, with other objects behind it")),
            advice: Cow::Borrowed("put the list into a file of its own, or its items on lines like the others"),
        }
    }

    /// One object around more than one list that could be the records.
    pub(crate) fn several_lists<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
        Self {
            found: Cow::Owned(format!("one object around more than one list of objects: {}", names.join(", "))),
            advice: Cow::Borrowed("name the one with the records: list = \"…\""),
        }
    }
}

/// Starts of files that are often found in place of annotations.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (b"version https://git-lfs", "a git-lfs pointer", "run `git lfs pull`, or download the file itself"),
    (b"PAR1", "Parquet in a compressed file", "unpack it first"),
    (b"\x1f\x8b", "compressed twice", "unpack it first: `gunzip FILE`"),
    (b"\x28\xb5\x2f\xfd", "compressed twice", "unpack it first: `unzstd FILE`"),
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

/// Length of the byte order mark at the start, if there is one.
pub(crate) fn byte_order_mark_length(head: &[u8]) -> usize {
    if head.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}

/// The format of a file, from its first bytes: all of it, or at least [`SNIFFED_BYTES`].
pub(crate) fn format_of(head: &[u8]) -> Result<FileFormat, NotRecords> {
    let text = head.split_at(byte_order_mark_length(head)).1;
    let text = text.trim_ascii_start();
    if let Some(&(_, found, advice)) = KNOWN.iter().find(|(start, ..)| text.starts_with(start)) {
        return Err(NotRecords::new(found, advice));
    }
    // A mark that something goes on, and the length of a header, whose high bytes are 0.
    if head.starts_with(b"\xff\xff\xff\xff") && head.get(6..8) == Some(&[0, 0]) {
        let advice = "write it as Parquet: datasets.Dataset.from_file(\"FILE\").to_parquet(\"FILE.parquet\")";
        return Err(NotRecords::new("an Arrow file of Hugging Face `datasets`", advice));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Err(NotRecords::new("a tar in a compressed file, or a damaged one", "unpack it first: `tar xf FILE`"));
    }
    match text {
        [] => Err(NotRecords::new("empty", "download it again, or leave it out")),
        [b'[', items @ ..] => format_of_array(items),
        [b'{', ..] => Ok(match format_of_objects(text)? {
            FileFormat::Wrapped { start } => FileFormat::Wrapped { start: head.len() - text.len() + start },
            format => format,
        }),
        [byte, ..] if byte.is_ascii_graphic() => {
            let advice = "convert it to JSON lines; what is CSV or TSV has a name that ends with .csv or .tsv";
            Err(NotRecords::new("text, but not JSON", advice))
        }
        [_, ..] => Err(NotRecords::new("binary data of no known kind", "download it again")),
    }
}

fn format_of_array(items: &[u8]) -> Result<FileFormat, NotRecords> {
    match items.trim_ascii_start().first() {
        // Anything other than an object may be damage, but says nothing about where objects start.
        Some(b'[' | b'"' | b'0'..=b'9' | b'-' | b't' | b'f' | b'n') => Err(NotRecords::new(
            "an array whose first element is not an object",
            "name the annotation file, which has one object per record",
        )),
        _ => Ok(FileFormat::Array),
    }
}

fn format_of_objects(text: &[u8]) -> Result<FileFormat, NotRecords> {
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let is_object = |line: &[u8]| Grammar::new().advance(line) == ScanStep::Complete(line.len());
    if let Some(name) = list_before_others(text) {
        return Err(NotRecords::list_before_others(&name));
    }
    let outer = if is_object(first) && !second.is_empty() { Outer::Record } else { outer_of(text) };
    match outer {
        Outer::Wrapper { start } => Ok(FileFormat::Wrapped { start }),
        Outer::SeveralLists { names } => Err(NotRecords::several_lists(names.iter().map(String::as_str))),
        // Two lines are checked, so that damage in one of them does not make the file something else.
        Outer::Record if second.starts_with(b"{") && (is_object(first) || is_object(second)) => Ok(FileFormat::Lines),
        // Perhaps all of the file.
        Outer::Record if second.is_empty() && first_of_several(first).is_some() => Ok(FileFormat::Objects),
        Outer::Record => {
            Ok(if second.is_empty() || is_object(first) { FileFormat::Lines } else { FileFormat::Objects })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(head: &str) -> Result<FileFormat, String> {
        format_of(head.as_bytes()).map_err(|not_records| not_records.found.into_owned())
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
        assert_eq!(format("{\"id\": 1}{\"id\": 2}{\"id\""), Ok(FileFormat::Objects));
        assert_eq!(format("{\"QA\": [{\"q\": \"\"}]}"), Ok(FileFormat::Lines));
        assert_eq!(format("{\"a\": NaN, \"b\": [{}]}\n{\"a\": NaN}"), Ok(FileFormat::Lines));
        assert_eq!(format("\u{feff} {\"data\": [\n {\"id\""), Ok(FileFormat::Wrapped { start: 14 }));
        assert_eq!(format("{\"data\": [\n{\"id\": 1}\n]}"), Ok(FileFormat::Wrapped { start: 10 }));
    }

    #[test]
    fn what_is_not_records_is_named() {
        assert_eq!(format("version https://git-lfs.github.com/spec/v1\noid"), Err("a git-lfs pointer".to_owned()));
        assert_eq!(format("<!DOCTYPE html>"), Err("a page of HTML or XML".to_owned()));
        assert_eq!(format(""), Err("empty".to_owned()));
        assert_eq!(format(" \n"), Err("empty".to_owned()));
        assert_eq!(format("\0\0\0\0"), Err("binary data of no known kind".to_owned()));
        assert_eq!(format("PK\x03\x04"), Err("a zip archive".to_owned()));
        assert_eq!(format("id,image\n1,a.jpg"), Err("text, but not JSON".to_owned()));
        assert_eq!(
            format("{\"a\": [{\"id\": 1}], \"b\": [{\"id\": 2}]}"),
            Err("one object around more than one list of objects: \"a\", \"b\"".to_owned())
        );
        for behind in ["\n{\"id\": 1}\n{\"id\": 2}\n", "{\"id\": 1}", ",\n{\n\"id\": 1\n}\n"] {
            assert_eq!(
                format(&format!("{{\"data\": [\n{{\"id\": 1}}\n]}}{behind}")),
                Err("an object around a list of objects, \"data\", with other objects behind it".to_owned())
            );
        }
        // Records have names in common.
        assert_eq!(format("{\"id\": 1, \"boxes\": [{\"x\": 1}]}\n{\"id\": 2}\n"), Ok(FileFormat::Lines));
        assert_eq!(format("{\"boxes\": [{\"x\": 1}]}\n{\"boxes\": []}\n"), Ok(FileFormat::Lines));
        assert_eq!(format("[\"a\", \"b\"]"), Err("an array whose first element is not an object".to_owned()));
        assert_eq!(format_of(b"\x1f\x8b\x08").map_err(|it| it.found), Err("compressed twice".into()));
    }
}
