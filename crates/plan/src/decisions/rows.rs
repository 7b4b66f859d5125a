//! The rows of a plan in 56 bytes each: there is one for every record, and there are hundreds of millions.
//!
//! Numbers are kept in as many bytes as they need in practice. A row with a larger one is kept whole, beside the others: nothing is
//! rounded.

use std::path::Path;

use manyframe_base::{Arrangement, Column, ColumnPlace, FileError};
use manyframe_core::{Cost, IndexRow, Layout, RecordId, SourceIndex};
use manyframe_samplers::{Rows, make_ids_unique};
use rustc_hash::FxHashMap;

/// Packed rows.
///
/// # Invariants
///
/// There are as many ids as measures.
#[derive(Debug, Default)]
pub(crate) struct PackedRows {
    ids: Column<RecordId>,
    measures: Column<Measures>,
    /// The rows with a number that is too large for its field.
    large: FxHashMap<usize, IndexRow>,
}

/// An [`IndexRow`] without its id.
#[derive(Debug, Clone, Copy)]
struct Measures {
    media: u64,
    source: SourceIndex,
    text_tokens: u32,
    visual_tokens: u32,
    num_chars: u32,
    estimated_bytes: u32,
    delimiter_tokens: u16,
    num_images: u16,
    num_frames: u16,
    num_turns: u16,
    layout: Layout,
    is_large: bool,
}

impl Measures {
    /// `None` if a number is too large.
    fn of(row: &IndexRow) -> Option<Self> {
        let IndexRow { id: _, source, cost, layout, num_turns, num_chars, estimated_bytes, media } = *row;
        Some(Self {
            media,
            source,
            text_tokens: cost.text_tokens.try_into().ok()?,
            visual_tokens: cost.visual_tokens.try_into().ok()?,
            num_chars: num_chars.try_into().ok()?,
            estimated_bytes: estimated_bytes.try_into().ok()?,
            delimiter_tokens: cost.delimiter_tokens.try_into().ok()?,
            num_images: cost.num_images.try_into().ok()?,
            num_frames: cost.num_frames.try_into().ok()?,
            num_turns: num_turns.try_into().ok()?,
            layout,
            is_large: false,
        })
    }

    /// A placeholder for a row that is kept whole.
    fn of_large(row: &IndexRow) -> Self {
        Self {
            media: row.media,
            source: row.source,
            text_tokens: 0,
            visual_tokens: 0,
            num_chars: 0,
            estimated_bytes: 0,
            delimiter_tokens: 0,
            num_images: 0,
            num_frames: 0,
            num_turns: 0,
            layout: row.layout,
            is_large: true,
        }
    }

    #[inline]
    fn row(&self, id: RecordId) -> IndexRow {
        IndexRow {
            id,
            source: self.source,
            cost: Cost {
                text_tokens: self.text_tokens.into(),
                delimiter_tokens: self.delimiter_tokens.into(),
                visual_tokens: self.visual_tokens.into(),
                num_images: self.num_images.into(),
                num_frames: self.num_frames.into(),
            },
            layout: self.layout,
            num_turns: self.num_turns.into(),
            num_chars: self.num_chars.into(),
            estimated_bytes: self.estimated_bytes.into(),
            media: self.media,
        }
    }
}

impl PackedRows {
    /// Without rows, with room for so many of them and of rejects together: vectors that grow as they are filled are in memory twice for
    /// a moment.
    pub(crate) fn with_capacity(place: ColumnPlace<'_>, num_entries: usize) -> Result<Self, FileError> {
        let (ids, measures) = (Column::with_capacity(place, num_entries)?, Column::with_capacity(place, num_entries)?);
        Ok(Self { ids, measures, large: FxHashMap::default() })
    }

    /// The rows in another order, in files of a directory.
    pub(crate) fn arranged(&self, order: &Arrangement, directory: &Path) -> Result<Self, FileError> {
        let (ids, measures) = (self.ids.arranged(order, directory)?, self.measures.arranged(order, directory)?);
        let large = if self.large.is_empty() {
            FxHashMap::default()
        } else {
            let moved = |(from, to)| Some((to as usize, *self.large.get(&(from as usize))?));
            order.moves().filter_map(moved).collect()
        };
        Ok(Self { ids, measures, large })
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, row: &IndexRow) {
        let measures = Measures::of(row).unwrap_or_else(|| {
            self.large.insert(self.ids.len(), *row);
            Measures::of_large(row)
        });
        self.ids.push(row.id);
        self.measures.push(measures);
    }

    /// As [`manyframe_samplers::make_ids_unique`], of the rows and of rejects after them. Returns the rejects that get another id,
    /// by their position, with this id.
    pub(crate) fn make_ids_unique(&mut self, rejects: &[RecordId]) -> Vec<(u32, RecordId)> {
        let num_rows = self.ids.len();
        for id in rejects {
            self.ids.push(*id);
        }
        make_ids_unique(&mut self.ids);
        let unique = self.ids.iter().skip(num_rows).copied();
        let numbered = (0..).zip(unique).zip(rejects);
        let renamed = numbered.filter(|((_, id), before)| id != *before).map(|(renamed, _)| renamed).collect();
        self.ids.truncate(num_rows);
        renamed
    }
}

impl Rows for PackedRows {
    fn num_rows(&self) -> usize {
        self.ids.len()
    }

    // Most callers need a number or two of it.
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "documented: as slices do")]
    fn row(&self, row: usize) -> IndexRow {
        let (id, measures) = (self.ids[row], &self.measures[row]);
        let large = measures.is_large.then(|| self.large.get(&row)).flatten();
        large.map_or_else(|| measures.row(id), |large| IndexRow { id, ..*large })
    }

    #[expect(clippy::indexing_slicing, reason = "documented: as slices do")]
    fn id(&self, row: usize) -> RecordId {
        self.ids[row]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scale: u64) -> IndexRow {
        let of = |number: u64| number * scale;
        IndexRow {
            id: RecordId([1; 16]),
            source: SourceIndex(2),
            cost: Cost {
                text_tokens: of(3),
                delimiter_tokens: of(4),
                visual_tokens: of(5),
                num_images: of(6),
                num_frames: of(7),
            },
            layout: Layout::Spatial,
            num_turns: of(8) as u32,
            num_chars: of(9),
            estimated_bytes: of(10),
            media: of(11),
        }
    }

    #[test]
    fn rows_come_back_as_they_were_however_large() {
        let rows = [row(1), row(8000), row(9000), row(1 << 29), row(1 << 40), row(2)];
        let mut packed = PackedRows::default();
        for row in &rows {
            packed.push(row);
        }
        assert_eq!((0..rows.len()).map(|at| packed.row(at)).collect::<Vec<_>>(), rows);
        let (order, directory) = ([5, 4, 4, 0, 3], tempfile::tempdir().unwrap());
        let arranged = packed.arranged(&Arrangement::new(order.into_iter()), directory.path()).unwrap();
        assert_eq!((0..5).map(|at| arranged.row(at)).collect::<Vec<_>>(), order.map(|at| rows[at as usize]));
        let other = RecordId([7; 16]);
        let renamed = packed.make_ids_unique(&[other, rows[4].id, other]);
        assert_eq!(packed.row(4), IndexRow { id: rows[4].id.occurrence(4), ..rows[4] });
        assert_eq!(renamed, [(1, rows[4].id.occurrence(6)), (2, other.occurrence(1))]);
        assert_eq!(packed.id(5), packed.row(5).id);
    }

    #[test]
    fn a_row_takes_56_bytes() {
        assert_eq!(size_of::<RecordId>() + size_of::<Measures>(), 56);
    }
}
