//! The rows of all sources in memory: what samplers see, and where each record stands.

use manyframe_core::{IndexRow, IndexVec, Origin, RecordIndex, RejectCode, SourceIndex};
use manyframe_samplers::make_ids_unique;
use rustc_hash::FxHashMap;

use crate::fit::Fit;
use crate::index::{Entry, IndexFile, Measurement, num_entries, read_entries};
use crate::{Context, PlanError};
use manyframe_dataset::SourceBudget;

/// The rows of all sources.
pub(crate) struct Rows {
    /// One for each record that could be measured.
    pub(crate) index: Vec<IndexRow>,
    /// The same records.
    pub(crate) places: Vec<Place>,
    /// Position of the first record of each index file among all records seen.
    pub(crate) first_records: Vec<RecordIndex>,
    /// What was seen of each source.
    pub(crate) budgets: IndexVec<SourceIndex, SourceBudget>,
}

/// Where a record stands, and what a sampler need not know of it.
pub(crate) struct Place {
    /// Position among all records seen.
    pub(crate) record: RecordIndex,
    pub(crate) origin: Origin,
    /// What it gives up to fit; few records do.
    pub(crate) fit: Option<Box<Fit>>,
    /// Number of its subset among all that were seen, from 0.
    pub(crate) subset: u32,
}

impl Rows {
    /// Reads the index files of a pipeline, in order.
    pub(crate) fn read(context: &Context, files: &[IndexFile]) -> Result<Self, PlanError> {
        let budget = |open: &crate::OpenSource| SourceBudget {
            name: open.table.name.clone(),
            kind: open.table.kind.as_str().to_owned(),
            ..SourceBudget::default()
        };
        let budgets = context.sources.iter().map(budget).collect();
        let mut all = Self { index: Vec::new(), places: Vec::new(), first_records: Vec::new(), budgets };
        all.reserve(files)?;
        let mut subsets: FxHashMap<String, u32> = FxHashMap::default();
        let mut record = RecordIndex(0);
        for_each_entry(files, |file, source, entry| {
            while all.first_records.len() <= file {
                all.first_records.push(record);
            }
            let budget = &mut all.budgets[source];
            budget.num_seen += 1;
            match entry.outcome {
                Ok(Measurement { row, fit }) => {
                    budget.readable.count(row.cost);
                    budget.num_pieces += u64::from(fit.piece.is_some_and(|piece| piece.number > 0));
                    let fit = (!fit.is_whole()).then(|| Box::new(fit));
                    let next_subset = subsets.len() as u32;
                    let subset = *subsets.entry(entry.subset).or_insert(next_subset);
                    all.index.push(row);
                    all.places.push(Place { record, origin: entry.origin, fit, subset });
                }
                Err(rejection) => *budget.rejected.entry(rejection.code).or_insert(0) += 1,
            }
            record.0 += 1;
            Ok(())
        })?;
        // Files without records at the end begin where everything ends.
        all.first_records.resize(files.len(), record);
        make_ids_unique(&mut all.index);
        Ok(all)
    }

    /// Makes room for all records at once: rows that grow as they are read are for a moment there twice.
    fn reserve(&mut self, files: &[IndexFile]) -> Result<(), PlanError> {
        let num_entries = files.iter().try_fold(0_usize, |sum, file| {
            let index_error = |error| PlanError::Index { path: file.path.clone(), error };
            num_entries(&file.path).map(|number| sum.saturating_add(number)).map_err(index_error)
        })?;
        // Only a wish: a footer that claims too many is found out when its rows are read.
        _ = self.index.try_reserve_exact(num_entries);
        _ = self.places.try_reserve_exact(num_entries);
        Ok(())
    }

    /// Why a measured record is not drawn, counted.
    pub(crate) fn count_rejected(&mut self, row: usize, code: RejectCode) {
        if let Some(row) = self.index.get(row) {
            *self.budgets[row.source].rejected.entry(code).or_insert(0) += 1;
        }
    }
}

/// Every record seen, in the order of the sources, with the number of its index file and of its source.
pub(crate) fn for_each_entry(
    files: &[IndexFile],
    mut visit: impl FnMut(usize, SourceIndex, Entry) -> Result<(), PlanError>,
) -> Result<(), PlanError> {
    for (number, file) in files.iter().enumerate() {
        let index_error = |error| PlanError::Index { path: file.path.clone(), error };
        for entry in read_entries(&file.path, file.source).map_err(index_error)? {
            visit(number, file.source, entry.map_err(index_error)?)?;
        }
    }
    Ok(())
}
