//! What every container does.

use std::collections::BTreeSet;
use std::ops::Range;

use manyframe_core::Position;

use crate::json::{LocatedRecord, ReadError};
use crate::raw::RawBody;

/// An open annotation file.
pub(crate) trait Container: Send + Sync {
    /// The parts that can be read independently: ranges of rows, or `None` for all of it.
    fn parts(&self) -> Vec<Option<Range<u64>>>;

    /// The records of a part in order. Ends after an error.
    fn records(self: Box<Self>, rows: Option<Range<u64>>) -> Result<LocatedRecords, ReadError>;

    /// The record at a position; `None` if there is none.
    fn record_at(&self, position: Position) -> Result<Option<RawBody>, ReadError>;

    /// The records from the start of a position on: to its end, or of a row to the end of the part that it is in.
    fn records_at(&self, position: Position) -> Result<LocatedRecords, ReadError>;

    /// Whether each record has images and videos of its own, which no other shows.
    fn has_own_media(&self) -> bool {
        false
    }

    /// Columns with bytes, which are `true` in its records.
    fn columns_with_bytes(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// Endings of files in it of which nothing is read.
    fn unread_endings(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

/// Records with their positions.
pub(crate) type LocatedRecords = Box<dyn Iterator<Item = Result<LocatedRecord, ReadError>> + Send>;
