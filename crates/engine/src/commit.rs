//! Commit: from finished tasks to a dataset, visible in one step and only if every record is accounted for.
//!
//! ```text
//! PLAN/done, PLAN/shards ──▶ PLAN/dataset/{FORMAT/LAYOUT/NNNNNN.EXT, ledger.parquet, README.md, build.json, manifest.json}
//!                                   └── exchanged with OUTPUT in one step
//! ```
//!
//! **Invariant:** whatever is interrupted, OUTPUT is the old dataset or the new one, and committing again finishes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::files::{parent_directory, replace_directory};
use manyframe_base::{Executor, FileError, Progress, Step, write_json};
use manyframe_core::{Digest, IndexVec, Layout, RecordIndex, SourceIndex, Total};
use manyframe_dataset::{
    BUILD_FACTS_FILE, BuildFacts, DatasetError, DatasetReader, LEDGER_FILE, LedgerEntry, LedgerRow, LedgerWriter,
    LocalDirectory, MANIFEST_FILE, MANIFEST_VERSION, Manifest, PackEntry, ShardEntry, ShardName, SourceBudget,
    SourceSummary, Status, Storage, WorkDone, write_card,
};
use manyframe_plan::{Decision, Plan, PlannedRecord, read_records, records_path};
use manyframe_samplers::sample_id;

use crate::error::EngineError;
use crate::open_plan::OpenPlan;
use crate::packs;
use crate::task::{OutcomeResult, RecordOutcome, TaskReport, read_report, shard_path};

/// A dataset that was committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// Where it is.
    pub dataset: PathBuf,
    /// What it is made of.
    pub manifest: Manifest,
    /// Digest of its `manifest.json`, which names it.
    pub manifest_digest: Digest,
    /// What the build did, and what it took over from the one before.
    pub work: WorkDone,
}

/// Makes the dataset of a plan whose tasks are all done, and publishes it at the pipeline's output.
///
/// `check` sees the dataset, complete but in a directory of its own, before it is published.
///
/// # Errors
///
/// [`EngineError::Unfinished`] if tasks are not done, [`EngineError::Unaccounted`] if records are missing,
/// [`EngineError::Occupied`] if the output is something else than a dataset, and every error of `check`. The output is
/// unchanged then, and committing again starts over.
pub fn commit(
    open: &OpenPlan,
    executor: Executor<'_>,
    check: impl FnOnce(&Path) -> Result<(), EngineError>,
) -> Result<Committed, EngineError> {
    let OpenPlan { context, plan, directory } = open;
    let dataset = open.dataset();
    ensure_replaceable(dataset)?;
    let reports = read_reports(plan, directory)?;
    let staged = directory.join("dataset");
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(FileError::write(&staged))?;
    }
    fs::create_dir_all(&staged).map_err(FileError::write(&staged))?;
    let (shards, names) = gather_shards(directory, &staged, &reports, executor.progress)?;
    let sources = write_ledger(plan, directory, &staged.join(LEDGER_FILE), &reports, &names)?;
    let pack = packs::write(&plan.pipeline, &staged)?;
    let manifest = manifest_from_parts(plan, &staged, shards, sources, pack)?;
    write_card(&manifest, &staged)?;
    let work = work_done(plan, &reports);
    let facts = BuildFacts {
        plan_key: plan.key,
        variables: plan.variables.clone(),
        manyframe_version: manifest.manyframe_version.clone(),
        source_settings_digests: context.named_source_settings_digests().collect(),
        work,
    };
    write_json(&staged.join(BUILD_FACTS_FILE), &facts)?;
    let text = write_json(&staged.join(MANIFEST_FILE), &manifest)?;
    check(&staged)?;
    // Where directories cannot be exchanged there is a moment without a dataset; committing again heals a crash in it.
    replace_directory(&staged, dataset, &directory.join("replaced"))?;
    Ok(Committed { dataset: dataset.to_owned(), manifest, manifest_digest: Digest::of(&text), work })
}

impl Committed {
    /// Reads a dataset that is there already.
    pub(crate) fn read(dataset: &Path) -> Result<Self, EngineError> {
        Ok(Self::from_reader(dataset, &DatasetReader::open(dataset)?))
    }

    /// Reads a dataset if it is there and was built from the plan with this key. One that this version cannot read was not.
    pub(crate) fn read_if_built_from(dataset: &Path, plan_key: Digest) -> Result<Option<Self>, EngineError> {
        if !dataset.join(MANIFEST_FILE).exists() {
            return Ok(None);
        }
        match DatasetReader::open(dataset).and_then(|reader| Ok((reader.build_facts()?, reader))) {
            Ok((Some(facts), reader)) if facts.plan_key == plan_key => Ok(Some(Self::from_reader(dataset, &reader))),
            Ok(_) => Ok(None),
            Err(DatasetError::File(error)) => Err(error.into()),
            Err(error) => {
                tracing::info!(dataset = %dataset.display(), %error, "the dataset is built again");
                Ok(None)
            }
        }
    }

    fn from_reader(dataset: &Path, reader: &DatasetReader) -> Self {
        let (manifest, manifest_digest) = (reader.manifest().clone(), reader.manifest_digest());
        Self { dataset: dataset.to_owned(), manifest, manifest_digest, work: WorkDone::default() }
    }
}

fn work_done(plan: &Plan, reports: &[TaskReport]) -> WorkDone {
    let num_delivered: u64 = reports.iter().map(|report| delivered_total(report).num_samples).sum();
    let num_samples_reused = reports.iter().map(|report| report.num_reused).sum();
    WorkDone {
        num_splits_read: plan.num_splits_read,
        num_splits_reused: plan.num_splits - plan.num_splits_read,
        num_samples_made: num_delivered - num_samples_reused,
        num_samples_reused,
    }
}

/// Makes sure that the output is free or a dataset, which may be replaced.
pub(crate) fn ensure_replaceable(dataset: &Path) -> Result<(), EngineError> {
    let occupied = || Err(EngineError::Occupied { path: dataset.to_owned() });
    match fs::read_dir(dataset) {
        Ok(_) if dataset.join(MANIFEST_FILE).exists() => Ok(()),
        Ok(mut entries) => entries.next().map_or(Ok(()), |_| occupied()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => occupied(),
        Err(error) => Err(FileError::read(dataset)(error).into()),
    }
}

fn read_reports(plan: &Plan, directory: &Path) -> Result<Vec<TaskReport>, EngineError> {
    let mut reports = Vec::new();
    let mut missing = Vec::new();
    for task in &plan.tasks {
        match read_report(directory, task.id)? {
            Some(report) => reports.push(report),
            None => missing.push(task.id),
        }
    }
    match missing.first() {
        None => Ok(reports),
        Some(&first) => Err(EngineError::Unfinished { num_missing: missing.len(), num_tasks: plan.tasks.len(), first }),
    }
}

/// Puts the shards of all tasks under their final names, numbered without gaps within each layout. Gives the entries of the
/// manifest, and the name of each task's shard for the ledger.
fn gather_shards(
    directory: &Path,
    staged: &Path,
    reports: &[TaskReport],
    progress: &dyn Progress,
) -> Result<(Vec<ShardEntry>, Vec<Option<ShardName>>), EngineError> {
    progress.start(Step::Commit, reports.iter().map(|report| report.shards.len() as u64).sum());
    let mut next_number: BTreeMap<Option<Layout>, u64> = BTreeMap::new();
    let mut entries = Vec::new();
    let mut names = Vec::new();
    for report in reports {
        if report.shards.is_empty() {
            names.push(None);
            continue;
        }
        let number = next_number.entry(report.layout).or_insert(0);
        let name = ShardName { layout: report.layout, number: *number };
        *number += 1;
        let total = delivered_total(report);
        for shard in &report.shards {
            let path = name.path(shard.format);
            link(&shard_path(directory, report.id, shard.format), &staged.join(path.to_string()))?;
            let (format, layout, num_bytes, digest) = (shard.format, report.layout, shard.num_bytes, shard.digest);
            entries.push(ShardEntry { path, format, layout, num_bytes, digest, total });
            progress.advance(shard.num_samples, 1);
        }
        names.push(Some(name));
    }
    progress.finish(Step::Commit);
    entries.sort_by_key(|entry| entry.path);
    Ok((entries, names))
}

fn delivered_total(report: &TaskReport) -> Total {
    let mut total = Total::default();
    for outcome in &report.outcomes {
        if let OutcomeResult::Delivered { cost, .. } = &outcome.result {
            total.count(*cost);
        }
    }
    total
}

/// A second name for a file where the file system can, else a copy: a commit that is interrupted must be able to start anew.
fn link(from: &Path, to: &Path) -> Result<(), EngineError> {
    let parent = parent_directory(to);
    fs::create_dir_all(parent).map_err(FileError::write(parent))?;
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to).map_err(FileError::write(to))?;
    let copy = fs::File::open(to).map_err(FileError::read(to))?;
    Ok(copy.sync_all().map_err(FileError::write(to))?)
}

fn write_ledger(
    plan: &Plan,
    directory: &Path,
    path: &Path,
    reports: &[TaskReport],
    names: &[Option<ShardName>],
) -> Result<Vec<SourceSummary>, EngineError> {
    let mut outcomes = outcomes_by_record(reports, names).into_iter().peekable();
    let mut sources: IndexVec<SourceIndex, SourceSummary> =
        plan.sources.iter().zip(&plan.pipeline.source).map(summary).collect();
    let mut writer = LedgerWriter::create(path)?;
    let unaccounted = |detail: String| EngineError::Unaccounted { detail };
    for (position, record) in (0..).zip(read_records(&records_path(directory))?) {
        let record = record?;
        let source =
            sources.get_mut(record.source).ok_or_else(|| unaccounted(format!("record {} has no source", record.id)))?;
        let times = if let Decision::Drawn(times) = record.decision { times } else { 1 };
        for repetition in 0..times {
            let is_its = |placed: &Placed<'_>| {
                (placed.outcome.record, placed.outcome.repetition) == (RecordIndex(position), repetition)
            };
            let outcome = outcomes.next_if(is_its);
            let row = ledger_row(&record, repetition, outcome.as_ref(), source).map_err(unaccounted)?;
            writer.write(&row)?;
        }
    }
    if let Some(placed) = outcomes.next() {
        return Err(unaccounted(format!("a task delivered sample {}, which was not planned", placed.outcome.id)));
    }
    writer.finish()?;
    match sources.iter().find(|source| !source.adds_up()) {
        None => Ok(sources.into_vec()),
        Some(source) => {
            let detail = format!(
                "source {:?}: {} records seen, but the outcomes differ",
                source.budget.name, source.budget.num_seen
            );
            Err(EngineError::Unaccounted { detail })
        }
    }
}

/// An outcome and where its sample stands.
struct Placed<'a> {
    outcome: &'a RecordOutcome,
    /// `None` if its task delivered nothing.
    shard: Option<ShardName>,
    shard_row: u64,
}

/// The outcomes of all tasks in the order of the records.
fn outcomes_by_record<'a>(reports: &'a [TaskReport], names: &[Option<ShardName>]) -> Vec<Placed<'a>> {
    let mut all = Vec::new();
    for (report, &shard) in reports.iter().zip(names) {
        let mut shard_row = 0;
        for outcome in &report.outcomes {
            all.push(Placed { outcome, shard, shard_row });
            shard_row += u64::from(matches!(outcome.result, OutcomeResult::Delivered { .. }));
        }
    }
    all.sort_unstable_by_key(|placed| (placed.outcome.record, placed.outcome.repetition));
    all
}

fn summary((budget, table): (&SourceBudget, &manyframe_pipeline::SourceTable)) -> SourceSummary {
    SourceSummary {
        // Rejects are counted once more, in the ledger.
        budget: SourceBudget { rejected: BTreeMap::new(), ..budget.clone() },
        license: table.license.clone(),
        max_rejects: table.max_rejects.map(manyframe_pipeline::Share::as_f64),
        ..SourceSummary::default()
    }
}

/// The row of a record's n-th delivery, counted into its source's summary.
fn ledger_row(
    record: &PlannedRecord,
    repetition: u32,
    placed: Option<&Placed<'_>>,
    source: &mut SourceSummary,
) -> Result<LedgerRow, String> {
    let mut ledger_row = LedgerRow {
        id: sample_id(record.id, repetition),
        source: source.budget.name.clone(),
        subset: record.subset.clone(),
        upstream_id: record.upstream_id.clone(),
        status: Status::NotDrawn,
        reason: None,
        detail: None,
        duplicate_of: None,
        shortened: (!record.shortened.is_empty()).then(|| record.shortened.clone()),
        repetition,
        shard: None,
        shard_row: None,
        place: placed.map(|placed| placed.outcome.place),
        num_turns: record.num_turns,
        measured: record.measured,
        origin: record.origin.clone(),
    };
    match (&record.decision, placed.map(|placed| (&placed.outcome.result, placed))) {
        (Decision::Rejected(rejection), None) | (Decision::Drawn(_), Some((OutcomeResult::Rejected(rejection), _))) => {
            *source.budget.rejected.entry(rejection.code).or_insert(0) += 1;
            ledger_row.status = Status::Rejected;
            ledger_row.reason = Some(rejection.code.as_str().to_owned());
            ledger_row.detail = Some(rejection.detail.clone());
        }
        (Decision::Duplicate { of, detail }, None) => {
            source.num_duplicates += 1;
            ledger_row.status = Status::Duplicate;
            (ledger_row.duplicate_of, ledger_row.detail) = (Some(*of), Some(detail.clone()));
        }
        (Decision::NotDrawn, None) => source.num_not_drawn += 1,
        (Decision::Drawn(_), Some((OutcomeResult::Delivered { cost, layout }, placed))) => {
            source.delivered.count(*cost);
            ledger_row.status = Status::Delivered;
            (ledger_row.shard, ledger_row.shard_row) = (placed.shard, Some(placed.shard_row));
            ledger_row.measured = Some((*cost, *layout));
        }
        (Decision::Drawn(_), None) => {
            return Err(format!("no task tells of sample {}, which one was given", ledger_row.id));
        }
        (_, Some(_)) => return Err(format!("a task tells of record {}, which no task was given", ledger_row.id)),
    }
    Ok(ledger_row)
}

fn manifest_from_parts(
    plan: &Plan,
    staged: &Path,
    shards: Vec<ShardEntry>,
    sources: Vec<SourceSummary>,
    pack: Option<PackEntry>,
) -> Result<Manifest, EngineError> {
    let ledger = LedgerEntry {
        path: LEDGER_FILE.to_owned(),
        digest: LocalDirectory::new(staged).digest(LEDGER_FILE)?,
        num_records: sources.iter().map(|source| source.budget.num_seen + source.budget.num_repeats()).sum(),
    };
    let pipeline = manyframe_pipeline::portable_settings(&plan.pipeline());
    let mut total = Total::default();
    for source in &sources {
        total += source.delivered;
    }
    Ok(Manifest {
        manifest_version: MANIFEST_VERSION,
        manyframe_version: env!("CARGO_PKG_VERSION").to_owned(),
        name: plan.pipeline.name.clone(),
        description: plan.pipeline.description.clone(),
        pipeline_digest: Digest::of(pipeline.to_string().as_bytes()),
        pipeline,
        tokenizer_digest: plan.tokenizer_digest,
        total,
        sources,
        shards,
        ledger,
        pack,
    })
}
