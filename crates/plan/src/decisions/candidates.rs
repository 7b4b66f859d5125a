//! Every record that could be measured: what samplers see of it, where it is, and what is decided about it.
//!
//! There is one for every record of a plan, so that all of it is packed: 77 bytes each, and 8 more until duplicates are found. Where
//! that is too much for memory, it is in files, and whatever looks at many rows does so in their order.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::{Column, ColumnPlace};
use manyframe_core::{IndexRow, IndexVec, Origin, RecordId, RecordIndex, RejectCode, Rejection, SourceIndex, Total};
use manyframe_dataset::SourceBudget;
use manyframe_pipeline::StratifyBy;
use manyframe_samplers::Rows;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::context::{Context, OpenSource};
use crate::decisions::origins::PackedOrigins;
use crate::decisions::packed::{DuplicateKind, PackedDecisions};
use crate::decisions::rows::PackedRows;
use crate::error::PlanError;
use crate::index::file::IndexFile;
use crate::index::table::{MeasuredEntry, MeasuredRecord, num_entries, read_measured};
use crate::records::Decision;
use crate::reduction::LengthReduction;

/// Every record that could be measured. A *row* is a position among them, as samplers count.
///
/// # Invariants
///
/// Rows, origins and decisions have one length, and so have subsets if there are any.
pub(crate) struct Candidates {
    /// Where the files of what is kept of rows are, if it is not in memory.
    directory: Option<PathBuf>,
    rows: PackedRows,
    /// A signature of what each row says and shows, until duplicates are found.
    signatures: Column<u64>,
    origins: PackedOrigins,
    /// How records are shortened, by row, ascending; most are not.
    reductions: Vec<(u32, LengthReduction)>,
    /// Number of its subset among all that were seen, from 0; empty unless a source is stratified by subset.
    subsets: Vec<u32>,
    /// For each record seen that is no row, the number of rows before it.
    rows_before_rejects: Vec<u32>,
    /// Records seen that are no rows and have the content of another one: their number among these, ascending, and their id.
    renamed_rejects: Vec<(u32, RecordId)>,
    decisions: PackedDecisions,
    files: Vec<FileRows>,
    /// What was seen of each source, and what happened to its records.
    pub(crate) budgets: IndexVec<SourceIndex, SourceBudget>,
}

/// Where a record is, and what a sampler need not know of it.
pub(crate) struct RecordLocation {
    /// Position among all records seen.
    pub(crate) record: RecordIndex,
    pub(crate) origin: Origin,
    /// How it is shortened.
    pub(crate) reduction: LengthReduction,
}

/// The candidates of an index file.
pub(crate) struct FileRows {
    pub(crate) file: IndexFile,
    /// Position of its first record among all records seen.
    pub(crate) first_record: RecordIndex,
    pub(crate) rows: Range<usize>,
}

impl Candidates {
    /// Reads the index files of a pipeline, in order. What is kept of rows is in files of a directory if it would take more than half of
    /// so much memory: the other half is for what is drawn.
    pub(crate) fn read(
        context: &Context,
        files: &[IndexFile],
        (directory, memory_bytes): (&Path, Option<u64>),
    ) -> Result<Self, PlanError> {
        const BYTES_PER_ROW: u64 = 85;
        let mut num_rows = 0_usize;
        for file in files {
            num_rows = num_rows.saturating_add(num_entries(&file.path)?);
        }
        let fits = memory_bytes.is_none_or(|most| (num_rows as u64).saturating_mul(BYTES_PER_ROW) <= most / 2);
        let place = if fits { ColumnPlace::Memory } else { ColumnPlace::Files(directory) };
        let budget = |open: &OpenSource| SourceBudget {
            name: open.table.name.clone(),
            kind: open.table.kind.as_str().to_owned(),
            ..SourceBudget::default()
        };
        let candidates = Self {
            directory: (!fits).then(|| directory.to_owned()),
            rows: PackedRows::with_capacity(place, num_rows)?,
            signatures: Column::with_capacity(place, num_rows)?,
            origins: PackedOrigins::with_capacity(place, num_rows)?,
            reductions: Vec::new(),
            subsets: Vec::new(),
            rows_before_rejects: Vec::new(),
            renamed_rejects: Vec::new(),
            decisions: PackedDecisions::default(),
            files: Vec::new(),
            budgets: context.sources.iter().map(budget).collect(),
        };
        let is_by_subset = |open: &OpenSource| open.table.stratify == Some(StratifyBy::Subset);
        let subsets = context.sources.iter().any(is_by_subset).then(FxHashMap::default);
        let mut reading = Reading { candidates, subsets, reject_ids: Vec::new(), next_record: RecordIndex(0) };
        for file in files {
            reading.add_file(file)?;
        }
        let Reading { mut candidates, reject_ids, .. } = reading;
        candidates.renamed_rejects = candidates.rows.make_ids_unique(&reject_ids);
        candidates.decisions = PackedDecisions::none(place, candidates.num_rows())?;
        Ok(candidates)
    }

    /// Where the files of what is kept of rows are, if it is not in memory.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The rows alone.
    pub(crate) fn into_rows(self) -> PackedRows {
        self.rows
    }

    /// The rows, as samplers see them.
    pub(crate) fn rows(&self) -> &PackedRows {
        &self.rows
    }

    /// The signatures of all rows: equal for those that might be duplicates. They are only needed once.
    pub(crate) fn take_signatures(&mut self) -> Column<u64> {
        std::mem::take(&mut self.signatures)
    }

    /// The number of rows.
    pub(crate) fn num_rows(&self) -> usize {
        self.rows.num_rows()
    }

    /// The candidates of each index file, in order.
    pub(crate) fn files(&self) -> &[FileRows] {
        &self.files
    }

    /// The row at a position that this type or a sampler named.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> IndexRow {
        self.rows.row(row)
    }

    /// The identity of a row.
    pub(crate) fn id(&self, row: usize) -> RecordId {
        self.rows.id(row)
    }

    /// The ids of records seen that are no rows, in order; each is asked for with the id of its content.
    pub(crate) fn reject_ids(&self) -> impl FnMut(RecordId) -> RecordId {
        let mut renamed = self.renamed_rejects.iter().peekable();
        let mut number = 0;
        move |id| {
            let found = renamed.next_if(|(renamed, _)| *renamed == number);
            number += 1;
            found.map_or(id, |(_, id)| *id)
        }
    }

    /// Where the records of all rows were read.
    pub(crate) fn origins(&self) -> &PackedOrigins {
        &self.origins
    }

    /// Where the record of a row was read.
    pub(crate) fn origin(&self, row: usize) -> Origin {
        self.origins.of(row)
    }

    /// How the record of a row is shortened.
    pub(crate) fn reduction(&self, row: usize) -> LengthReduction {
        let found = self.reductions.binary_search_by_key(&row, |(shortened, _)| *shortened as usize);
        found.ok().and_then(|at| self.reductions.get(at)).map(|(_, reduction)| *reduction).unwrap_or_default()
    }

    /// Position of the record of a row among all records seen.
    pub(crate) fn record(&self, row: usize) -> RecordIndex {
        let rejects_before = self.rows_before_rejects.partition_point(|&rows| rows as usize <= row);
        RecordIndex((row + rejects_before) as u64)
    }

    pub(crate) fn location(&self, row: usize) -> RecordLocation {
        self.location_at(row, self.origin(row))
    }

    /// The location of a row whose origin is known.
    pub(crate) fn location_at(&self, row: usize, origin: Origin) -> RecordLocation {
        RecordLocation { record: self.record(row), origin, reduction: self.reduction(row) }
    }

    /// The number of the subset of a row among all that were seen. The same for all rows unless a source is stratified by it.
    pub(crate) fn subset(&self, row: usize) -> u32 {
        self.subsets.get(row).copied().unwrap_or_default()
    }

    /// The annotation files of the rows of a source.
    pub(crate) fn annotation_files(&self, source: SourceIndex) -> FxHashSet<&str> {
        self.origins.files_of(|row| row < self.num_rows() && self.row(row).source == source)
    }

    /// A row, and what is decided about it.
    pub(crate) fn decided(&self, row: usize) -> (IndexRow, Decision) {
        (self.row(row), self.decisions.of(row, &self.rows))
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
    pub(crate) fn undecided(&self) -> impl Iterator<Item = usize> + Clone {
        (0..self.num_rows()).filter(|&row| self.decisions.is_open(row))
    }

    /// Adds every row without a decision to a total of its source.
    pub(crate) fn count_undecided(&mut self, total: fn(&mut SourceBudget) -> &mut Total) {
        for row in (0..self.num_rows()).filter(|&row| self.decisions.is_open(row)) {
            let IndexRow { source, cost, .. } = self.rows.row(row);
            #[expect(clippy::indexing_slicing, reason = "there is a budget for each source")]
            total(&mut self.budgets[source]).count(cost);
        }
    }

    /// Rejects a row, unless it has a decision already.
    pub(crate) fn reject(&mut self, row: usize, rejection: Rejection) {
        if self.decisions.is_open(row) {
            count_rejected(self.budget_of(row), rejection.code);
            self.decisions.reject(row, rejection);
        }
    }

    /// The kind of duplicates that have this in common.
    pub(crate) fn duplicate_kind(&mut self, detail: &str) -> DuplicateKind {
        self.decisions.duplicate_kind(detail)
    }

    /// Marks a row as a duplicate of one that is kept.
    pub(crate) fn mark_duplicate(&mut self, row: usize, kept: usize, kind: DuplicateKind) {
        self.decisions.mark_duplicate(row, kept, kind);
    }

    /// Marks a row as delivered `times` times.
    pub(crate) fn mark_drawn(&mut self, row: usize, times: u32) {
        self.decisions.mark_drawn(row, times);
    }
}

fn count_rejected(budget: &mut SourceBudget, code: RejectCode) {
    *budget.rejected.entry(code).or_insert(0) += 1;
}

/// Candidates while they are read.
struct Reading {
    candidates: Candidates,
    /// The number of each subset, if somebody asks for it.
    subsets: Option<FxHashMap<Arc<str>, u32>>,
    /// Of records seen that are no rows, in order.
    reject_ids: Vec<RecordId>,
    next_record: RecordIndex,
}

impl Reading {
    fn add_file(&mut self, file: &IndexFile) -> Result<(), PlanError> {
        let (first_record, first_row) = (self.next_record, self.candidates.num_rows());
        for entry in read_measured(&file.path, file.source)? {
            self.add(file.source, entry?);
        }
        self.candidates.origins.end_run();
        // Positions of rows and of rejects are numbers of 32 bits, so that they take half as much memory.
        u32::try_from(self.next_record.0).map_err(|_range| PlanError::TooManyRecords)?;
        let rows = first_row..self.candidates.num_rows();
        self.candidates.files.push(FileRows { file: file.clone(), first_record, rows });
        Ok(())
    }

    fn add(&mut self, source: SourceIndex, entry: MeasuredEntry) {
        self.next_record.0 += 1;
        let row_number = self.candidates.num_rows() as u32;
        let budget = self.candidates.budget_mut(source);
        budget.num_seen += 1;
        match entry.outcome {
            Ok(MeasuredRecord { row, signature, reduction }) => {
                budget.readable.count(row.cost);
                budget.num_pieces += u64::from(reduction.split.is_some_and(|split| split.piece > 0));
                if !reduction.is_none() {
                    self.candidates.reductions.push((row_number, reduction));
                }
                if let Some(subsets) = &mut self.subsets {
                    let next = subsets.len() as u32;
                    self.candidates.subsets.push(*subsets.entry(entry.subset).or_insert(next));
                }
                self.candidates.rows.push(&row);
                self.candidates.signatures.push(signature);
                self.candidates.origins.push(&entry.origin);
            }
            Err(code) => {
                count_rejected(budget, code);
                self.candidates.rows_before_rejects.push(row_number);
                self.reject_ids.push(entry.id);
            }
        }
    }
}
