//! Every record that could be measured: what samplers see of it, where it is, and what is decided about it.

use std::ops::Range;

use manyframe_core::{IndexRow, IndexVec, Origin, RecordIndex, RejectCode, Rejection, SourceIndex, Total};
use manyframe_dataset::SourceBudget;
use manyframe_samplers::make_ids_unique;
use rustc_hash::FxHashMap;

use crate::context::{Context, OpenSource};
use crate::error::PlanError;
use crate::index::file::IndexFile;
use crate::index::table::{IndexEntry, MeasuredRecord, num_entries, read_entries};
use crate::records::Decision;
use crate::reduction::LengthReduction;

/// Every record that could be measured. A *row* is a position among them, as samplers count.
///
/// # Invariants
///
/// Rows, locations and decisions have one length.
pub(crate) struct Candidates {
    rows: Vec<IndexRow>,
    locations: Vec<RecordLocation>,
    decisions: Vec<Decision>,
    files: Vec<FileRows>,
    /// What was seen of each source, and what happened to its records.
    pub(crate) budgets: IndexVec<SourceIndex, SourceBudget>,
}

/// Where a record is, and what a sampler need not know of it.
pub(crate) struct RecordLocation {
    /// Position among all records seen.
    pub(crate) record: RecordIndex,
    pub(crate) origin: Origin,
    /// How it is shortened; few records are.
    reduction: Option<Box<LengthReduction>>,
    /// Number of its subset among all that were seen, from 0.
    pub(crate) subset: u32,
}

impl RecordLocation {
    pub(crate) fn reduction(&self) -> LengthReduction {
        self.reduction.as_deref().copied().unwrap_or_default()
    }
}

/// The candidates of an index file.
pub(crate) struct FileRows {
    pub(crate) file: IndexFile,
    /// Position of its first record among all records seen.
    pub(crate) first_record: RecordIndex,
    pub(crate) rows: Range<usize>,
}

impl Candidates {
    /// Reads the index files of a pipeline, in order.
    pub(crate) fn read(context: &Context, files: &[IndexFile]) -> Result<Self, PlanError> {
        let budget = |open: &OpenSource| SourceBudget {
            name: open.table.name.clone(),
            kind: open.table.kind.as_str().to_owned(),
            ..SourceBudget::default()
        };
        let candidates = Self {
            rows: Vec::new(),
            locations: Vec::new(),
            decisions: Vec::new(),
            files: Vec::new(),
            budgets: context.sources.iter().map(budget).collect(),
        };
        let mut reading = Reading { candidates, subsets: FxHashMap::default(), next_record: RecordIndex(0) };
        reading.candidates.reserve(files)?;
        for file in files {
            reading.add_file(file)?;
        }
        let mut candidates = reading.candidates;
        make_ids_unique(&mut candidates.rows);
        candidates.decisions = vec![Decision::NotDrawn; candidates.rows.len()];
        Ok(candidates)
    }

    /// Makes room for all records at once: vectors that grow as they are read are in memory twice for a moment.
    fn reserve(&mut self, files: &[IndexFile]) -> Result<(), PlanError> {
        let mut num_rows = 0_usize;
        for file in files {
            num_rows = num_rows.saturating_add(num_entries(&file.path)?);
        }
        // Only a hint: a footer that claims too many rows is noticed when they are read.
        _ = self.rows.try_reserve_exact(num_rows);
        _ = self.locations.try_reserve_exact(num_rows);
        Ok(())
    }

    /// The rows, as samplers see them.
    pub(crate) fn rows(&self) -> &[IndexRow] {
        &self.rows
    }

    /// The candidates of each index file, in order.
    pub(crate) fn files(&self) -> &[FileRows] {
        &self.files
    }

    /// The rows with their locations.
    pub(crate) fn located(&self) -> impl ExactSizeIterator<Item = (&IndexRow, &RecordLocation)> {
        self.rows.iter().zip(&self.locations)
    }

    /// The rows with the decisions about them.
    pub(crate) fn decided(&self) -> impl ExactSizeIterator<Item = (&IndexRow, &Decision)> {
        self.rows.iter().zip(&self.decisions)
    }

    #[expect(clippy::indexing_slicing, reason = "rows are positions that this type or a sampler took from `rows`")]
    pub(crate) fn row(&self, row: usize) -> &IndexRow {
        &self.rows[row]
    }

    #[expect(clippy::indexing_slicing, reason = "rows are positions that this type or a sampler took from `rows`")]
    pub(crate) fn location(&self, row: usize) -> &RecordLocation {
        &self.locations[row]
    }

    #[expect(clippy::indexing_slicing, reason = "rows are positions that this type or a sampler took from `rows`")]
    fn decision_mut(&mut self, row: usize) -> &mut Decision {
        &mut self.decisions[row]
    }

    /// The budget of the source of a row.
    pub(crate) fn budget_of(&mut self, row: usize) -> &mut SourceBudget {
        let source = self.row(row).source;
        self.budget_mut(source)
    }

    #[expect(clippy::indexing_slicing, reason = "there is a budget for each source")]
    pub(crate) fn budget_mut(&mut self, source: SourceIndex) -> &mut SourceBudget {
        &mut self.budgets[source]
    }

    /// The rows that nothing is decided about yet, ascending.
    pub(crate) fn undecided(&self) -> Vec<usize> {
        let decisions = self.decisions.iter().enumerate();
        decisions.filter(|(_, decision)| **decision == Decision::NotDrawn).map(|(row, _)| row).collect()
    }

    /// Adds every row without a decision to a total of its source.
    pub(crate) fn count_undecided(&mut self, total: fn(&mut SourceBudget) -> &mut Total) {
        for row in self.undecided() {
            let cost = self.row(row).cost;
            total(self.budget_of(row)).count(cost);
        }
    }

    /// Rejects a row, unless it has a decision already.
    pub(crate) fn reject(&mut self, row: usize, rejection: Rejection) {
        if *self.decision_mut(row) == Decision::NotDrawn {
            count_rejected(self.budget_of(row), rejection.code);
            *self.decision_mut(row) = Decision::Rejected(rejection);
        }
    }

    /// Marks a row as a duplicate of one that is kept.
    pub(crate) fn mark_duplicate(&mut self, row: usize, kept: usize, detail: String) {
        *self.decision_mut(row) = Decision::Duplicate { of: self.row(kept).id, detail };
    }

    /// Marks a row as delivered `times` times.
    pub(crate) fn mark_drawn(&mut self, row: usize, times: u32) {
        *self.decision_mut(row) = Decision::Drawn(times);
    }
}

fn count_rejected(budget: &mut SourceBudget, code: RejectCode) {
    *budget.rejected.entry(code).or_insert(0) += 1;
}

/// Candidates while they are read.
struct Reading {
    candidates: Candidates,
    /// The number of each subset.
    subsets: FxHashMap<String, u32>,
    next_record: RecordIndex,
}

impl Reading {
    fn add_file(&mut self, file: &IndexFile) -> Result<(), PlanError> {
        let (first_record, first_row) = (self.next_record, self.candidates.rows.len());
        for entry in read_entries(&file.path, file.source)? {
            self.add(file.source, entry?);
        }
        let rows = first_row..self.candidates.rows.len();
        self.candidates.files.push(FileRows { file: file.clone(), first_record, rows });
        Ok(())
    }

    fn add(&mut self, source: SourceIndex, entry: IndexEntry) {
        let record = self.next_record;
        self.next_record.0 += 1;
        let budget = self.candidates.budget_mut(source);
        budget.num_seen += 1;
        match entry.outcome {
            Ok(MeasuredRecord { row, reduction }) => {
                budget.readable.count(row.cost);
                budget.num_pieces += u64::from(reduction.split.is_some_and(|split| split.piece > 0));
                let reduction = (!reduction.is_none()).then(|| Box::new(reduction));
                let next_subset = self.subsets.len() as u32;
                let subset = *self.subsets.entry(entry.subset).or_insert(next_subset);
                self.candidates.rows.push(row);
                self.candidates.locations.push(RecordLocation { record, origin: entry.origin, reduction, subset });
            }
            Err(rejection) => count_rejected(budget, rejection.code),
        }
    }
}
