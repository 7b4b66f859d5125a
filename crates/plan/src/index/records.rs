//! The records of an index file, each with all of its entries and with its media.

use std::iter::Peekable;
use std::path::Path;

use manyframe_core::SourceIndex;
use manyframe_dataset::DatasetError;

use crate::error::PlanError;
use crate::index::measure::Measured;
use crate::index::media::{MediaRow, read_media};
use crate::index::table::{IndexEntry, read_entries};

/// The rows of a table.
type Rows<T> = Box<dyn Iterator<Item = Result<T, DatasetError>>>;

/// The records of an index file in order, each with its first entry.
pub(crate) struct IndexedRecords {
    entries: Rows<IndexEntry>,
    media: Peekable<Rows<MediaRow>>,
    next_entry: u64,
}

impl Iterator for IndexedRecords {
    type Item = Result<(u64, Measured), PlanError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = self.entries.next()?;
        Some(first.map_err(PlanError::Table).and_then(|first| self.record(first)))
    }
}

impl IndexedRecords {
    /// The records of an index file, with `source` as the source of every row.
    pub(crate) fn open(index: &Path, source: SourceIndex) -> Result<Self, DatasetError> {
        let media: Rows<MediaRow> = Box::new(read_media(index)?);
        Ok(Self { entries: Box::new(read_entries(index, source)?), media: media.peekable(), next_entry: 0 })
    }

    fn record(&mut self, first: IndexEntry) -> Result<(u64, Measured), PlanError> {
        let first_entry = self.next_entry;
        let is_of_it = |row: &Result<MediaRow, _>| row.as_ref().is_ok_and(|row| row.has_entry(first_entry));
        let row = self.media.next_if(|row| row.is_err() || is_of_it(row)).transpose()?;
        let mut entries = vec![first];
        for _ in 1..row.as_ref().map_or(1, |row| row.num_entries) {
            entries.extend(self.entries.next().transpose()?);
        }
        self.next_entry += entries.len() as u64;
        Ok((first_entry, Measured { entries, media: row.map(|row| row.media) }))
    }
}
