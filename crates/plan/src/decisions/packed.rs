//! What is decided about each row, in 5 bytes: a kind, and a number that belongs to it.

use manyframe_base::{Column, ColumnPlace, FileError};
use manyframe_core::Rejection;
use manyframe_samplers::Rows;
use rustc_hash::FxHashMap;

use crate::decisions::rows::PackedRows;
use crate::records::Decision;

/// Packed decisions about all rows.
///
/// # Invariants
///
/// There is a number for each kind. Rejections and details of duplicates have the numbers that refer to them.
#[derive(Debug, Default)]
pub(crate) struct PackedDecisions {
    kinds: Column<u8>,
    /// Of rejections, how often a row is drawn, or the row that is kept.
    numbers: Column<u32>,
    /// Each once: many records are rejected for the same reason.
    rejections: Vec<Rejection>,
    numbers_of_rejections: FxHashMap<(&'static str, Box<str>), u32>,
    /// What duplicates have in common.
    details: Vec<String>,
}

/// A kind of duplicates, by what they have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DuplicateKind(u8);

const NOT_DRAWN: u8 = 0;
const DRAWN: u8 = 1;
const REJECTED: u8 = 2;
/// The first kind of duplicates.
const DUPLICATE: u8 = 3;

#[expect(clippy::indexing_slicing, reason = "there is a decision about each row; numbers are those of the tables")]
impl PackedDecisions {
    /// Nothing is decided about so many rows.
    pub(crate) fn none(place: ColumnPlace<'_>, num_rows: usize) -> Result<Self, FileError> {
        let (kinds, numbers) = (Column::filled(place, NOT_DRAWN, num_rows)?, Column::filled(place, 0, num_rows)?);
        Ok(Self { kinds, numbers, ..Self::default() })
    }

    /// The decision about one of these rows.
    pub(crate) fn of(&self, row: usize, rows: &PackedRows) -> Decision {
        let number = self.numbers[row];
        match self.kinds[row] {
            NOT_DRAWN => Decision::NotDrawn,
            DRAWN => Decision::Drawn(number),
            REJECTED => Decision::Rejected(self.rejections[number as usize].clone()),
            duplicate => Decision::Duplicate {
                of: rows.id(number as usize),
                detail: self.details[usize::from(duplicate - DUPLICATE)].clone(),
            },
        }
    }

    /// Whether nothing is decided about a row yet.
    pub(crate) fn is_open(&self, row: usize) -> bool {
        self.kinds[row] == NOT_DRAWN
    }

    /// Rejects a row.
    pub(crate) fn reject(&mut self, row: usize, rejection: Rejection) {
        let next = self.rejections.len() as u32;
        let key = (rejection.code.as_str(), rejection.detail.as_str().into());
        let number = *self.numbers_of_rejections.entry(key).or_insert_with(|| {
            self.rejections.push(rejection);
            next
        });
        (self.kinds[row], self.numbers[row]) = (REJECTED, number);
    }

    /// The kind of duplicates that have this in common. There are a few kinds at most.
    pub(crate) fn duplicate_kind(&mut self, detail: &str) -> DuplicateKind {
        let known = self.details.iter().position(|known| known == detail);
        let number = known.unwrap_or_else(|| {
            self.details.push(detail.to_owned());
            self.details.len() - 1
        });
        DuplicateKind(DUPLICATE + number as u8)
    }

    /// Marks a row as a duplicate of one that is kept.
    pub(crate) fn mark_duplicate(&mut self, row: usize, kept: usize, kind: DuplicateKind) {
        (self.kinds[row], self.numbers[row]) = (kind.0, kept as u32);
    }

    /// Marks a row as delivered `times` times.
    pub(crate) fn mark_drawn(&mut self, row: usize, times: u32) {
        (self.kinds[row], self.numbers[row]) = (DRAWN, times);
    }
}

#[cfg(test)]
mod tests {
    use manyframe_core::{Cost, IndexRow, Layout, RecordId, RejectCode, SourceIndex};

    use super::*;

    fn rows(num: u8) -> PackedRows {
        let mut rows = PackedRows::default();
        for number in 0..num {
            rows.push(&IndexRow {
                id: RecordId([number; 16]),
                source: SourceIndex(0),
                cost: Cost::default(),
                layout: Layout::Text,
                num_turns: 1,
                num_chars: 1,
                estimated_bytes: 1,
                media: 0,
            });
        }
        rows
    }

    #[test]
    fn decisions_come_back_as_they_were() {
        let rows = rows(7);
        let mut decisions = PackedDecisions::none(ColumnPlace::Memory, 7).unwrap();
        let rejection = |detail: &str| Rejection::new(RejectCode::Filtered, detail);
        decisions.reject(0, rejection("too short"));
        decisions.reject(1, rejection("too long"));
        decisions.reject(2, rejection("too short"));
        let (pixels, bytes) = (decisions.duplicate_kind("pixels"), decisions.duplicate_kind("bytes"));
        decisions.mark_duplicate(3, 0, bytes);
        decisions.mark_duplicate(4, 1, pixels);
        decisions.mark_drawn(5, 1000);
        let duplicate = |of, detail: &str| Decision::Duplicate { of: rows.id(of), detail: detail.to_owned() };
        let expected = [
            Decision::Rejected(rejection("too short")),
            Decision::Rejected(rejection("too long")),
            Decision::Rejected(rejection("too short")),
            duplicate(0, "bytes"),
            duplicate(1, "pixels"),
            Decision::Drawn(1000),
            Decision::NotDrawn,
        ];
        assert_eq!((0..7).map(|row| decisions.of(row, &rows)).collect::<Vec<_>>(), expected);
        assert_eq!(decisions.rejections.len(), 2, "equal rejections are kept once");
        assert_eq!((0..7).filter(|row| decisions.is_open(*row)).collect::<Vec<_>>(), [6]);
    }
}
