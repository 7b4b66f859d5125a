//! Records in JSON files, found without being understood: arrays, lines, objects one after another.
//!
//! ```text
//! file ──▶ Window ──▶ lines | elements ──▶ Found: bytes and place of one record
//!                       elements = Grammar (where a record ends) + Anchors (where the next one begins after damage)
//! ```
//!
//! Nothing here builds values; `Found` texts may be malformed, and the parser of the source says so.
//!
//! **Invariant:** every byte of a file that is not between records belongs to exactly one `Found`, in order; memory is
//! bounded by [`MAX_RECORD_BYTES`], whatever the file holds.

mod anchor;
mod elements;
mod grammar;
mod lines;
mod plain;
mod sniff;
#[cfg(test)]
mod tests;
mod window;

use std::io;

use manyframe_core::Position;
use serde::de::IgnoredAny;

use crate::RawBody;

pub(crate) use elements::Elements;
pub(crate) use lines::Lines;
pub(crate) use plain::plain_length;
pub(crate) use sniff::{Format, SNIFFED_BYTES, format_of};

/// Largest record that is read, in bytes: 16 MiB. The largest known has 275 turns, well under 1 MiB; and a record made
/// of nothing but brackets takes ten times its size in memory.
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

/// How many bytes of a broken record are kept to show it.
pub const MAX_HEAD_BYTES: usize = 256;

/// A record as found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) position: Position,
    pub(crate) body: RawBody,
}

/// What a reader of records gives next; `None` at the end of the file.
pub(crate) type NextFound = io::Result<Option<Found>>;

/// A record whose end was found.
pub(crate) fn whole(bytes: &[u8]) -> RawBody {
    if is_overlong(bytes.len()) { overlong(bytes) } else { RawBody::Json(bytes.to_vec()) }
}

/// The bytes before the end of the file: a record if they are whole, else one that was cut off.
pub(crate) fn last(bytes: &[u8]) -> RawBody {
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Err(error) if error.is_eof() => broken("the file ends inside a record", bytes),
        _ => whole(bytes),
    }
}

/// The end of a file that ends between two records, where an array should have been closed.
pub(crate) fn unclosed() -> RawBody {
    broken("the file ends before its array is closed; records may be missing", &[])
}

/// A record that is larger than what is read; `head` is how it begins.
pub(crate) fn overlong(head: &[u8]) -> RawBody {
    broken(&format!("the record has more than {MAX_RECORD_BYTES} bytes"), head)
}

fn broken(detail: &str, bytes: &[u8]) -> RawBody {
    let head = bytes.get(..MAX_HEAD_BYTES).unwrap_or(bytes);
    RawBody::Broken { detail: detail.to_owned(), head: head.to_vec() }
}

/// Whether so many bytes are more than what is read as one record.
fn is_overlong(num_bytes: usize) -> bool {
    num_bytes as u64 > MAX_RECORD_BYTES
}
