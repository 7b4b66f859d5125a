//! The account of records: a ledger row for every record seen and every repetition of one, or an error.
//!
//! **Invariant:** records seen and their repetitions = delivered + rejected + duplicate + not drawn, for every source.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Range;
use std::path::Path;

use manyframe_core::{Cost, IndexVec, RecordIndex, Rejection, SourceIndex, Total};
use manyframe_dataset::{
    DecontaminationSummary, LedgerRow, LedgerWriter, ReplayedSource, ShardName, SourceBudget, SourceSummary, Status,
};
use manyframe_plan::{Decision, OpenSource, Plan, PlannedRecord, read_records, records_path};
use manyframe_samplers::sample_id;
use manyframe_shards::ShardFormat;

use crate::error::EngineError;
use crate::open_plan::OpenPlan;
use crate::report::{FinishedTask, OutcomeResult, RecordOutcome};

/// Writes the ledger of a plan whose tasks are done; returns what happened to the records of each source.
///
/// # Errors
///
/// [`EngineError::Unaccounted`] if a planned sample has no outcome, an outcome was not planned, or the sums differ.
pub(crate) fn write_ledger(
    open: &OpenPlan,
    tasks: &[FinishedTask],
    path: &Path,
) -> Result<Vec<SourceSummary>, EngineError> {
    let mut account = Account::open(open, tasks);
    let mut writer = LedgerWriter::create(path)?;
    for (index, record) in (0..).map(RecordIndex).zip(read_records(&records_path(&open.directory))?) {
        let record = record?;
        let times = if let Decision::Drawn(times) = record.decision { times } else { 1 };
        for repetition in 0..times {
            writer.write(&account.row(&record, index, repetition)?)?;
        }
    }
    writer.finish_staged()?;
    account.close()
}

/// An outcome, and where its sample is if it was delivered.
struct LocatedOutcome<'a> {
    outcome: &'a RecordOutcome,
    shard: Option<ShardName>,
    /// Number of the sample in its shard, from 0.
    shard_row: u64,
    /// Its bytes in the tar of the shard, if there is one.
    shard_bytes: Option<Range<u64>>,
}

/// The account while records are entered in order.
struct Account<'a> {
    sources: IndexVec<SourceIndex, SourceSummary>,
    /// The outcomes not entered yet, in the order of their records.
    outcomes: Peekable<std::vec::IntoIter<LocatedOutcome<'a>>>,
}

impl<'a> Account<'a> {
    fn open(open: &OpenPlan, tasks: &'a [FinishedTask]) -> Self {
        let mut outcomes: Vec<_> = tasks.iter().flat_map(locate_outcomes).collect();
        outcomes.sort_unstable_by_key(|located| (located.outcome.record, located.outcome.repetition));
        let sources = open.plan.sources.iter().zip(&open.context.sources);
        let sources = sources.map(|(budget, source)| summary_before_run(budget, source)).collect();
        Self { sources, outcomes: outcomes.into_iter().peekable() }
    }

    /// The row of a record's delivery, which is counted for its source.
    fn row(&mut self, record: &PlannedRecord, index: RecordIndex, repetition: u32) -> Result<LedgerRow, EngineError> {
        let is_this =
            |located: &LocatedOutcome<'_>| (located.outcome.record, located.outcome.repetition) == (index, repetition);
        let located = self.outcomes.next_if(is_this);
        let Some(source) = self.sources.get_mut(record.source) else {
            return Err(unaccounted(format!("record {} has no source", record.id)));
        };
        let mut row = row_before_run(record, repetition, &source.budget.name);
        row.position = located.as_ref().map(|located| located.outcome.position);
        let Some(located) = located else {
            match &record.decision {
                Decision::Rejected(rejection) => reject(&mut row, source, rejection),
                Decision::Duplicate { of, detail } => {
                    source.num_duplicates += 1;
                    row.status = Status::Duplicate;
                    (row.duplicate_of, row.detail) = (Some(*of), Some(detail.clone()));
                }
                Decision::NotDrawn => source.num_not_drawn += 1,
                Decision::Drawn(_) => return Err(unaccounted(format!("no task reports sample {}", row.id))),
            }
            return Ok(row);
        };
        if !matches!(record.decision, Decision::Drawn(_)) {
            return Err(unaccounted(format!("a task reports record {}, which was not drawn", row.id)));
        }
        match (&located.outcome.result, located.shard) {
            (OutcomeResult::Rejected(rejection), _) => reject(&mut row, source, rejection),
            (OutcomeResult::Delivered { cost, layout, tokens_per_visual, damage, videos }, Some(shard)) => {
                source.delivered.count(*cost);
                count_replayed(&mut source.replayed, &record.subset, *cost);
                row.status = Status::Delivered;
                (row.shard, row.shard_row) = (Some(shard), Some(located.shard_row));
                row.shard_bytes = located.shard_bytes;
                row.measured = Some((*cost, *layout));
                row.tokens_per_visual = Some(tokens_per_visual.clone());
                row.damage.clone_from(damage);
                row.videos.clone_from(videos);
            }
            (OutcomeResult::Delivered { .. }, None) => {
                return Err(unaccounted(format!("sample {} is delivered, but its task has no shard", row.id)));
            }
        }
        Ok(row)
    }

    /// Checks that every outcome was entered and all sums are right.
    fn close(mut self) -> Result<Vec<SourceSummary>, EngineError> {
        if let Some(located) = self.outcomes.next() {
            return Err(unaccounted(format!("a task reports sample {}, which was not planned", located.outcome.id)));
        }
        let mut sources = self.sources.into_vec();
        for source in &mut sources {
            source.replayed.retain(|replayed| replayed.delivered.num_samples > 0);
        }
        match sources.iter().find(|source| !source.adds_up()) {
            None => Ok(sources),
            Some(source) => Err(unaccounted(format!(
                "source {:?}: {} records seen, but the outcomes differ",
                source.budget.name, source.budget.num_seen
            ))),
        }
    }
}

fn unaccounted(detail: String) -> EngineError {
    EngineError::Unaccounted { detail }
}

/// The outcomes of a task; its shard holds those that were delivered, in their order.
fn locate_outcomes(task: &FinishedTask) -> impl Iterator<Item = LocatedOutcome<'_>> {
    let tar = ShardFormat::first_tar(task.report.shards.iter().map(|shard| shard.format));
    let tar = task.report.shards.iter().find(|shard| Some(shard.format) == tar);
    let mut next_row = 0;
    task.report.outcomes.iter().map(move |outcome| {
        let shard_row = next_row;
        let is_delivered = matches!(outcome.result, OutcomeResult::Delivered { .. });
        next_row += u64::from(is_delivered);
        let shard_bytes = tar.filter(|_| is_delivered).and_then(|tar| tar.notes.sample_bytes(shard_row));
        LocatedOutcome { outcome, shard: task.shard, shard_row, shard_bytes }
    })
}

/// A source as the plan left it; outcomes, of which rejects are some, are still to be counted.
pub(crate) fn summary_before_run(budget: &SourceBudget, source: &OpenSource) -> SourceSummary {
    SourceSummary {
        budget: SourceBudget { rejected: BTreeMap::new(), ..budget.clone() },
        license: source.table.license.clone(),
        replayed: source.replayed().to_vec(),
        max_rejects: Some(source.table.max_rejects().as_f64()),
        ..SourceSummary::default()
    }
}

/// What the manifest says of decontamination.
pub(crate) fn summary_of_decontamination(plan: &Plan) -> Option<DecontaminationSummary> {
    let max_rejects = Some(plan.pipeline.decontamination.max_rejects().as_f64());
    plan.decontamination.clone().map(|summary| DecontaminationSummary { max_rejects, ..summary })
}

/// Counts a sample for the source that it has in the dataset that is replayed, if one is.
fn count_replayed(replayed: &mut Vec<ReplayedSource>, name: &str, cost: Cost) {
    if replayed.is_empty() {
        return;
    }
    let known = replayed.iter().position(|source| source.name == name);
    let index = known.unwrap_or_else(|| {
        // A manifest that does not know a source of its shards says nothing of its license.
        let licenses = vec![String::new()];
        replayed.push(ReplayedSource { name: name.to_owned(), licenses, delivered: Total::default() });
        replayed.len() - 1
    });
    if let Some(source) = replayed.get_mut(index) {
        source.delivered.count(cost);
    }
}

/// A row as the plan left its record: not drawn, unless an outcome says otherwise.
fn row_before_run(record: &PlannedRecord, repetition: u32, source: &str) -> LedgerRow {
    LedgerRow {
        id: sample_id(record.id, repetition),
        source: source.to_owned(),
        subset: record.subset.clone(),
        upstream_id: record.upstream_id.clone(),
        status: Status::NotDrawn,
        reason: None,
        detail: None,
        duplicate_of: None,
        shortened: (!record.shortened.is_empty()).then(|| record.shortened.clone()),
        damage: None,
        videos: None,
        repetition,
        shard: None,
        shard_row: None,
        shard_bytes: None,
        position: None,
        num_turns: record.num_turns,
        measured: record.measured,
        tokens_per_visual: None,
        origin: record.origin.clone(),
    }
}

fn reject(row: &mut LedgerRow, source: &mut SourceSummary, rejection: &Rejection) {
    *source.budget.rejected.entry(rejection.code).or_insert(0) += 1;
    source.budget.num_rejected_repeats += u64::from(row.repetition > 0);
    row.status = Status::Rejected;
    row.reason = Some(rejection.code.as_str().to_owned());
    row.detail = Some(rejection.detail.clone());
}

#[cfg(test)]
mod tests {
    use manyframe_core::{Digest, HandledImages, HandledVideos, Layout, Origin, Position, RecordId, RejectCode};

    use super::*;
    use crate::report::TaskReport;

    fn record(decision: Decision) -> PlannedRecord {
        PlannedRecord {
            id: RecordId::from_digest(Digest::of(b"x")),
            source: SourceIndex(0),
            subset: String::new(),
            upstream_id: String::new(),
            origin: Origin { file: "a.json".into(), position: Position::File },
            measured: None,
            num_turns: None,
            shortened: String::new(),
            decision,
        }
    }

    fn task(results: Vec<OutcomeResult>, shard: Option<ShardName>) -> FinishedTask {
        let outcome = |(index, result): (u64, OutcomeResult)| RecordOutcome {
            record: RecordIndex(index),
            repetition: 0,
            id: RecordId::from_digest(Digest::of(b"x")),
            position: index,
            result,
        };
        let outcomes = (0..).zip(results).map(outcome).collect();
        FinishedTask {
            report: TaskReport {
                id: 0,
                layout: None,
                shards: Vec::new(),
                outcomes,
                num_reused: 0,
                images: HandledImages::default(),
                videos: HandledVideos::default(),
            },
            shard,
        }
    }

    fn account(tasks: &[FinishedTask], num_seen: u64) -> Account<'_> {
        let outcomes: Vec<_> = tasks.iter().flat_map(locate_outcomes).collect();
        let budget = SourceBudget { num_seen, ..SourceBudget::default() };
        let source = SourceSummary { budget, ..SourceSummary::default() };
        Account { sources: [source].into_iter().collect(), outcomes: outcomes.into_iter().peekable() }
    }

    const SHARD: Option<ShardName> = Some(ShardName { layout: None, number: 0 });

    fn delivered() -> OutcomeResult {
        OutcomeResult::Delivered {
            cost: Cost::default(),
            layout: Layout::Text,
            tokens_per_visual: Vec::new(),
            damage: None,
            videos: None,
        }
    }

    #[test]
    fn rows_of_a_shard_count_delivered_samples_only() {
        let rejected = OutcomeResult::Rejected(Rejection::new(RejectCode::MediaCorrupt, ""));
        let tasks = [task(vec![delivered(), rejected, delivered()], SHARD)];
        let mut account = account(&tasks, 3);
        let mut row = |index| account.row(&record(Decision::Drawn(1)), RecordIndex(index), 0).unwrap();
        let rows = [row(0), row(1), row(2)].map(|row| (row.status, row.shard_row, row.position));
        let expected = [
            (Status::Delivered, Some(0), Some(0)),
            (Status::Rejected, None, Some(1)),
            (Status::Delivered, Some(1), Some(2)),
        ];
        assert_eq!(rows, expected);
        let sources = account.close().unwrap();
        assert!(
            matches!(sources.as_slice(), [source] if source.delivered.num_samples == 2 && source.num_rejected() == 1)
        );
    }

    #[test]
    fn what_was_planned_and_what_is_reported_must_agree() {
        let entered = |results: Vec<OutcomeResult>, shard, decision| {
            let tasks = [task(results, shard)];
            let mut account = account(&tasks, 1);
            account.row(&record(decision), RecordIndex(0), 0)?;
            account.close()
        };
        assert!(entered(vec![delivered()], SHARD, Decision::Drawn(1)).is_ok());
        for (results, shard, decision, expected) in [
            (vec![], SHARD, Decision::Drawn(1), "no task reports"),
            (vec![delivered()], SHARD, Decision::NotDrawn, "was not drawn"),
            (vec![delivered()], None, Decision::Drawn(1), "has no shard"),
            (vec![delivered(), delivered()], SHARD, Decision::Drawn(1), "was not planned"),
        ] {
            let error = entered(results, shard, decision).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn sums_that_differ_are_an_error() {
        let tasks = [task(vec![delivered()], SHARD)];
        let mut account = account(&tasks, 2);
        account.row(&record(Decision::Drawn(1)), RecordIndex(0), 0).unwrap();
        assert!(account.close().unwrap_err().to_string().contains("2 records seen, but the outcomes differ"));
    }
}
