//! How the records of a file begin, so that reading can continue at the next record after a damaged one.
//!
//! ```text
//! [\n  {\n    "id": …},\n  {\n    "id": …      a line that begins like the lines on which records begin: `\n  {`
//! [{"image": …}, {"image": …}]                 all in one line: the text between records, and their first key
//! ```
//!
//! It only guesses: text may look like the start of a record. A wrong guess costs at most the records up to the next
//! right guess. Records of one line that begin with a key with which none has begun are found by what follows them: see
//! [`first_in_row`].

use memchr::{memchr_iter, memmem};

use crate::json::grammar::{Grammar, ScanStep, is_space};

/// Keys with which records begin differ within a file, but not much.
const MAX_OPENINGS: usize = 16;

/// How far the next record is searched for at first.
const FIRST_SEARCHED_BYTES: usize = 4096;

/// What the start of a record looks like in a file.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    /// From the last line feed before a record on, or all that separates two records of the same line.
    lead: Vec<u8>,
    /// From the brace to the colon after the first key; or the brace alone where that is enough.
    openings: Vec<Vec<u8>>,
    is_settled: bool,
}

impl Anchors {
    /// Learns from a record: the bytes `between` the last one (or the start of the file) and it, and how it begins.
    /// The byte where its brace belongs is not looked at: it may be damaged.
    pub(crate) fn learn(&mut self, between: &[u8], record: &[u8], place: LearnedFrom) {
        if !self.is_settled {
            self.learn_lead(between, record, place);
        }
        let has_bare_opening = self.openings.first().is_some_and(|opening| opening == b"{");
        if has_bare_opening
            || self.openings.len() == MAX_OPENINGS
            || self.openings.iter().any(|it| record.starts_with(it))
        {
            return;
        }
        if let Some(opening) = opening_of(record) {
            self.openings.push(opening);
        }
    }

    fn learn_lead(&mut self, between: &[u8], record: &[u8], place: LearnedFrom) {
        let last_line = memchr::memrchr(b'\n', between).and_then(|at| between.get(at..));
        self.is_settled = last_line.is_some() || place == LearnedFrom::AfterRecord;
        self.lead = match (last_line, place) {
            (Some(line), _) => line.to_vec(),
            (None, LearnedFrom::AfterRecord) => between.to_vec(),
            (None, LearnedFrom::First) => Vec::new(),
        };
        let Some(line) = last_line else { return };
        // In an indented file nothing else begins like this; in others, lines inside records may begin the same way.
        let inner = record.get(1..).unwrap_or_default();
        let (inner, _) = inner.split_at(inner.iter().take_while(|&&byte| is_space(byte)).count());
        let inner_line = memchr::memrchr(b'\n', inner).and_then(|at| inner.get(at..));
        if line.len() > 1 || inner_line.is_none_or(|inner| inner.len() > line.len()) {
            self.openings = vec![b"{".to_vec()];
        }
    }

    /// Position of the brace of the first record whose start (the text before it included) lies after `from`.
    pub(crate) fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let searched = bytes.get(from..)?;
        let starts = self.openings.iter().map(|opening| [self.lead.as_slice(), opening].concat());
        let finders: Vec<_> = starts.map(|start| memmem::Finder::new(&start).into_owned()).collect();
        // In growing parts: one of many openings may never occur again, and must not be searched for in the whole buffer.
        let mut length = FIRST_SEARCHED_BYTES;
        loop {
            let part = searched.get(..length).unwrap_or(searched);
            if let Some(at) = finders.iter().filter_map(|finder| finder.find(part)).min() {
                return Some(from + at + self.lead.len());
            }
            if part.len() == searched.len() {
                return None;
            }
            length *= 4;
        }
    }

    /// Maximum length of the start of a record, in bytes.
    pub(crate) fn max_length(&self) -> usize {
        self.lead.len() + self.openings.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// How many bytes of a damaged record, and of what follows it, are followed to find out where it ends.
const MAX_FOLLOWED_BYTES: usize = 4 << 20;

/// Where the first of the objects begins that follow each other, with commas in between, to the end of some bytes: `bytes` begin with
/// a damaged record, and end where a record begins that is known by its first key, or with the last record of the file. An object
/// inside of a record is never such: something else follows it, or the last of its list.
pub(crate) fn first_in_row(bytes: &[u8]) -> Option<usize> {
    let mut num_left = MAX_FOLLOWED_BYTES;
    let is_after_comma = |at: &usize| bytes.split_at(*at).0.trim_ascii_end().ends_with(b",");
    let mut starts = memchr_iter(b'{', bytes).filter(is_after_comma);
    starts.find(|&at| {
        let row = bytes.split_at(at).1;
        opening_of(row).is_some() && is_row(row, &mut num_left)
    })
}

/// Whether some bytes are objects with commas in between. Not where following them takes more than what is left.
fn is_row(mut row: &[u8], num_left: &mut usize) -> bool {
    loop {
        let mut grammar = Grammar::new();
        let step = grammar.advance(row.get(..*num_left).unwrap_or(row));
        *num_left -= grammar.position().min(*num_left);
        let ScanStep::Complete(end) = step else { return false };
        let rest = row.split_at(end).1.trim_ascii_start();
        row = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        if row.is_empty() || rest.len() == row.len() {
            return row.is_empty();
        }
    }
}

/// The position of a record to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LearnedFrom {
    /// First in the file.
    First,
    /// After a whole record.
    AfterRecord,
}

/// From the brace to the colon after the first key. `None` if something else is there.
fn opening_of(record: &[u8]) -> Option<Vec<u8>> {
    let spaces = record.get(1..)?.iter().take_while(|&&byte| is_space(byte)).count();
    let key = record.get(spaces + 1..)?.strip_prefix(b"\"")?;
    let length = key.iter().position(|&byte| !byte.is_ascii_alphanumeric() && !b"_-. ".contains(&byte))?;
    let colon = key.get(length..)?.strip_prefix(b"\"")?.first()?;
    // The brace, the white space, two quotes and the colon.
    let num_bytes = spaces + length + 4;
    let opening = [b"{", record.get(1..num_bytes)?].concat();
    (*colon == b':' || is_space(*colon)).then_some(opening)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchors(between: &[u8], record: &[u8]) -> Anchors {
        let mut anchors = Anchors::default();
        anchors.learn(between, record, LearnedFrom::First);
        anchors
    }

    #[test]
    fn indented_records_begin_with_a_line_of_their_own() {
        let anchors = anchors(b"[\n  ", b"{\n    \"id\": 1");
        let text = b"{\n    \"a\": [\n      {\n      }\n    ]\n  },\n  {\n    \"b\"";
        let found = anchors.find(text, 1).unwrap();
        assert_eq!(text.get(found - 3..found + 1), Some(&b"\n  {"[..]));
    }

    #[test]
    fn records_in_one_line_begin_with_a_known_key() {
        let mut anchors = anchors(b"[", b"{\"image\": \"x\", \"QA\": [{\"q\": 1}, {\"q\": 2}]");
        let text = b"{\"image\": \"x\", \"QA\": [{\"q\": 1}, {\"q\": 2}]}, {\"image\": \"y\"";
        assert_eq!(anchors.find(text, 1), Some(44));
        anchors.learn(b", ", b"{\"video\": 1", LearnedFrom::AfterRecord);
        assert_eq!(anchors.find(text, 1), Some(44));
        assert_eq!(anchors.find(b"{\"image\": {\"video\": 1}, {\"video\": 2}", 1), Some(24), "commas are part of it");
    }

    #[test]
    fn a_damaged_brace_does_not_hide_how_records_begin() {
        assert_eq!(anchors(b"[\n  ", b"x\n    \"id\": 1").find(b"..\n  {", 0), Some(5));
        assert_eq!(anchors(b"[", b"x\"id\": 1").find(b"}, {\"id\": 2", 0), Some(3));
    }

    #[test]
    fn nothing_is_learned_from_a_damaged_key() {
        for record in ["{id\": 5, \"b\"", "{\"id: 5", "{}", "{", ""] {
            assert!(anchors(b"[", record.as_bytes()).openings.is_empty(), "{record}");
        }
    }
}
