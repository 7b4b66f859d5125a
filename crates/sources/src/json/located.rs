//! One record of a JSON file: its location and its bytes; and the messages about damaged records.

use std::io;
use std::ops::Range;

use manyframe_columnar::ColumnarError;
use manyframe_core::{Position, RejectCode, Rejection};
use memchr::memmem;

use crate::json::grammar::{Grammar, ScanStep};
use crate::json::sniff::NotRecords;
use crate::raw::RawBody;

/// Largest record that is read, in bytes: 16 MiB. The largest known has 275 turns, well under 1 MiB; and a record made
/// of nothing but brackets takes ten times its size in memory.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

/// How many bytes of a damaged record are kept, to show them.
pub const MAX_HEAD_BYTES: usize = 256;

/// So many zeros in a row are no text that was damaged.
const LEAST_HOLE_BYTES: usize = 16;

/// So many blanks in a row are no text in a record that cannot be read: a block of a disk.
const LEAST_BLANK_BYTES: usize = 4096;

/// What disks write at once, at least.
const SECTOR_BYTES: usize = 512;

/// Blanks of a text itself that may be next to those that were written over it.
const MOST_OWN_BLANK_BYTES: u64 = 16;

/// So many blanks in a row, in a record that cannot be read, may be in place of others.
const LEAST_DOUBTFUL_BLANK_BYTES: usize = 64;

/// A record and its position in the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LocatedRecord {
    pub(crate) position: Position,
    pub(crate) body: RawBody,
}

/// What a reader of records returns next; `None` at the end of the file.
pub(crate) type NextRecord = Result<Option<LocatedRecord>, ReadError>;

/// Why a file cannot be read on.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    /// The file is a table that cannot be read.
    Rows(ColumnarError),
    /// What follows the records shows that they are not what is meant.
    NotRecords(NotRecords),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ColumnarError> for ReadError {
    fn from(error: ColumnarError) -> Self {
        Self::Rows(error)
    }
}

impl From<NotRecords> for ReadError {
    fn from(found: NotRecords) -> Self {
        Self::NotRecords(found)
    }
}

/// A record whose end was found.
pub(crate) fn whole(bytes: &[u8]) -> RawBody {
    if is_overlong(bytes.len()) {
        return overlong(bytes);
    }
    unwritten(bytes).unwrap_or_else(|| RawBody::Json(bytes.to_vec()))
}

/// What is missing where a file has only zeros: room was made for it that was never written to, as by a download that ended early.
pub(crate) fn unwritten(bytes: &[u8]) -> Option<RawBody> {
    let first = memchr::memchr(0, bytes)?;
    let is_hole = memmem::find(bytes.split_at(first).1, &[0; LEAST_HOLE_BYTES]).is_some();
    is_hole.then(|| incomplete("the file has zeros in place of text; this record and others are missing", bytes))
}

/// What is missing where bytes that are no record have many that occur in no text, in no encoding of it: others were written over it,
/// by a disk or by another program.
pub(crate) fn overwritten(bytes: &[u8]) -> Option<Rejection> {
    // Terminals and printers obey some control characters, and UTF-16 has zeros.
    let is_no_text = |byte: &&u8| matches!(byte, 0x01..=0x06 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    let is_hole = bytes.iter().filter(is_no_text).count() >= LEAST_HOLE_BYTES
        || memmem::find(bytes, &[0xff; LEAST_HOLE_BYTES]).is_some()
        || blanks(bytes, LEAST_BLANK_BYTES).next().is_some();
    is_hole.then(in_place_of_text)
}

/// What is wrong with a record that can be read and starts at this byte of its file, although something was written over the file: it
/// begins with one record and ends with another, if what they had between them became blanks. Tables that are laid out with blanks have
/// hundreds in a row, but they do not begin and end with a sector of a disk.
pub(crate) fn joined(bytes: &[u8], offset: u64) -> Option<Rejection> {
    let is_of_sectors = |run: &Range<usize>| {
        let (start, end) = (offset + run.start as u64, offset + run.end as u64);
        let sector = SECTOR_BYTES as u64;
        start.next_multiple_of(sector) - start <= MOST_OWN_BLANK_BYTES && end % sector <= MOST_OWN_BLANK_BYTES
    };
    let (run, is_of_sectors) = blanks(bytes, SECTOR_BYTES)
        .map(|run| (run.clone(), is_of_sectors(&run)))
        .filter(|(run, is_of_sectors)| *is_of_sectors || run.len() >= LEAST_BLANK_BYTES)
        .max_by_key(|(run, is_of_sectors)| (*is_of_sectors, run.len()))?;
    let num_blanks = run.len();
    if is_of_sectors && num_blanks >= LEAST_BLANK_BYTES {
        return Some(in_place_of_text());
    }
    let detail = format!(
        "it has {num_blanks} blanks in a row, as where something was written over the file; it may have been several records"
    );
    Some(Rejection::new(RejectCode::MalformedRecord, detail))
}

fn in_place_of_text() -> Rejection {
    let detail = "the file has something else in place of text; this record and others are missing";
    Rejection::new(RejectCode::IncompleteFile, detail)
}

/// Whether bytes that are no record may have been several: they have blanks in place of text, or a key twice that the first of them has
/// outside of any list.
pub(crate) fn may_be_several(bytes: &[u8]) -> bool {
    let before_list = bytes.split(|&byte| byte == b'[').next().unwrap_or_default();
    let mut keys = before_list.split(|&byte| byte == b'"').skip(1).step_by(2).take(MOST_KEYS);
    blanks(bytes, LEAST_DOUBTFUL_BLANK_BYTES).next().is_some()
        || keys.any(|key| {
            !key.is_empty() && memmem::find_iter(bytes, key).filter(|&at| is_key(bytes, at, key)).count() > 1
        })
}

/// How many keys of a damaged record are looked for.
const MOST_KEYS: usize = 16;

/// Whether a text at a position is a key: in quotes, before a colon.
fn is_key(bytes: &[u8], at: usize, text: &[u8]) -> bool {
    let behind = bytes.get(at + text.len()..).and_then(|rest| rest.strip_prefix(b"\""));
    bytes.split_at(at).0.ends_with(b"\"") && behind.is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
}

/// Where as many blanks as asked for follow each other.
fn blanks(bytes: &[u8], least: usize) -> impl Iterator<Item = Range<usize>> {
    let is_blank = |byte: &&u8| **byte == b' ';
    let mut next = 0;
    std::iter::from_fn(move || {
        loop {
            // So many blanks have one at a place that is looked at, whatever is around them.
            let at = (next..bytes.len()).step_by(least).find(|&at| bytes.get(at) == Some(&b' '))?;
            let (before, behind) = bytes.split_at(at);
            let start = at - before.iter().rev().take_while(is_blank).count();
            let end = at + behind.iter().take_while(is_blank).count();
            next = end + least;
            if end - start >= least {
                return Some(start..end);
            }
        }
    })
}

/// The bytes before the end of the file: a record if it ends, else one that was cut off.
pub(crate) fn last(bytes: &[u8]) -> RawBody {
    match Grammar::new().advance(bytes) {
        ScanStep::Unfinished if unwritten(bytes).is_none() => {
            incomplete("the file ends inside of a record; this one and any after it are missing", bytes)
        }
        ScanStep::Unfinished | ScanStep::Complete(_) | ScanStep::Broken => whole(bytes),
    }
}

/// The end of a file that ends between two records, with its array still open.
pub(crate) fn unclosed() -> RawBody {
    incomplete("the file ends before its array is closed; records may be missing", &[])
}

/// A record that is too large to read; `head` is its first bytes, [`MAX_RECORD_BYTES`] or more.
pub(crate) fn overlong(head: &[u8]) -> RawBody {
    let head = head.get(..MAX_RECORD_BYTES as usize).unwrap_or(head);
    let detail = || format!("the record has more than {MAX_RECORD_BYTES} bytes");
    unwritten(head).unwrap_or_else(|| broken(RejectCode::MalformedRecord, &detail(), head))
}

/// A file that cannot be opened: all of its records.
pub(crate) fn unreadable(error: &io::Error) -> RawBody {
    incomplete(&format!("the file cannot be opened: {error}"), &[])
}

/// What is missing after some bytes: an unknown number of records.
pub(crate) fn incomplete(detail: &str, bytes: &[u8]) -> RawBody {
    broken(RejectCode::IncompleteFile, detail, bytes)
}

fn broken(code: RejectCode, detail: &str, bytes: &[u8]) -> RawBody {
    let head = bytes.get(..MAX_HEAD_BYTES).unwrap_or(bytes);
    RawBody::Broken { rejection: Rejection::new(code, detail), head: head.to_vec() }
}

/// Whether a record of this many bytes is too large to read.
pub(crate) fn is_overlong(num_bytes: usize) -> bool {
    num_bytes as u64 > MAX_RECORD_BYTES
}
