//! The samples in the order of delivery, and what is known of each.

use manyframe_base::Arrangement;
use manyframe_core::IndexRow;
use manyframe_samplers::{Drawn, Rows};

use crate::decisions::candidates::{Candidates, RecordLocation};
use crate::decisions::origins::ArrangedOrigins;
use crate::decisions::rows::PackedRows;
use crate::error::PlanError;

/// What is delivered, in order.
pub(crate) struct Delivery {
    ordered: Vec<Drawn>,
    arranged: Option<ArrangedRows>,
}

/// What is kept of rows, once more and in the order of delivery, if it is in files: a row is far from the next one that is delivered, and
/// a disk would be asked for each.
struct ArrangedRows {
    rows: PackedRows,
    origins: ArrangedOrigins,
}

impl Delivery {
    /// These samples, in this order.
    pub(crate) fn new(candidates: &Candidates, ordered: Vec<Drawn>) -> Result<Self, PlanError> {
        let arranged = match candidates.directory() {
            None => None,
            Some(directory) => {
                let order = Arrangement::new(ordered.iter().map(|drawn| drawn.row));
                let rows = candidates.rows().arranged(&order, directory)?;
                Some(ArrangedRows { rows, origins: candidates.origins().arranged(&order, directory)? })
            }
        };
        Ok(Self { ordered, arranged })
    }

    /// How many samples are delivered. Their positions are below that.
    pub(crate) fn num_samples(&self) -> u32 {
        self.ordered.len() as u32
    }

    /// The sample at a position.
    #[expect(clippy::indexing_slicing, reason = "documented: positions are those of samples")]
    pub(crate) fn at(&self, position: u32) -> Drawn {
        self.ordered[position as usize]
    }

    /// The row of the sample at a position, of all rows.
    pub(crate) fn row(&self, rows: &PackedRows, position: u32) -> IndexRow {
        match &self.arranged {
            Some(arranged) => arranged.rows.row(position as usize),
            None => rows.row(self.at(position).position()),
        }
    }

    /// Where the record of the sample at a position is.
    pub(crate) fn location(&self, candidates: &Candidates, position: u32) -> RecordLocation {
        let row = self.at(position).position();
        match &self.arranged {
            Some(arranged) => {
                let origin = candidates.origins().of_arranged(row, &arranged.origins, position as usize);
                candidates.location_at(row, origin)
            }
            None => candidates.location(row),
        }
    }
}
