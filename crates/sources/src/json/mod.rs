//! Finds the records of JSON files without parsing them: arrays, lines, sequences of objects.
//!
//! ```text
//! file ──▶ ByteWindow ──▶ lines | elements ──▶ LocatedRecord: position and bytes of one record
//!                       elements = Grammar (where a record ends) + Anchors (where the next one begins after damage)
//! ```
//!
//! Nothing here builds values. The bytes of a record may be malformed; the parser of the source finds out.
//!
//! **Invariant:** every byte of a file that is not between records belongs to exactly one record, in order; memory is
//! bounded by [`MAX_RECORD_BYTES`], whatever the file holds.

mod anchor;
mod elements;
mod grammar;
mod lines;
mod list;
mod located;
mod plain;
mod sniff;
#[cfg(test)]
mod tests;
mod window;
mod wrapper;

pub(crate) use elements::Elements;
pub(crate) use lines::Lines;
pub(crate) use list::{FoundList, find_list};
pub(crate) use located::{
    LocatedRecord, NextRecord, ReadError, incomplete, is_overlong, joined, last, may_be_several, overlong, overwritten,
    unclosed, unreadable, unwritten,
};
pub use located::{MAX_HEAD_BYTES, MAX_RECORD_BYTES};
pub(crate) use plain::plain_length;
pub(crate) use sniff::{FileFormat, NotRecords, SNIFFED_BYTES, byte_order_mark_length, format_of};
pub(crate) use window::ByteWindow;
