//! The rows that samplers read, however they are kept: as they are, or packed.

use manyframe_core::{IndexRow, RecordId};

/// Rows of an index, fewer than 2³² of them, so that a position takes four bytes.
pub trait Rows {
    /// The number of rows.
    fn num_rows(&self) -> usize;

    /// The row at a position.
    ///
    /// # Panics
    /// If there is none.
    fn row(&self, row: usize) -> IndexRow;

    /// The id of the row at a position.
    ///
    /// # Panics
    /// If there is none.
    fn id(&self, row: usize) -> RecordId {
        self.row(row).id
    }
}

impl<R: AsRef<[IndexRow]> + ?Sized> Rows for R {
    fn num_rows(&self) -> usize {
        self.as_ref().len()
    }

    #[expect(clippy::indexing_slicing, reason = "documented: as slices do")]
    fn row(&self, row: usize) -> IndexRow {
        self.as_ref()[row]
    }
}
