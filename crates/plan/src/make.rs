//! Makes a plan: index, decisions, and the files that a worker needs.

use std::io::Write;
use std::path::{Path, PathBuf};

use manyframe_core::{Cost, Digest, IndexRow, Layout, SourceIndex};
use manyframe_samplers::sample_id;

use crate::built::BuiltSamples;
use crate::decide::{Decisions, decide};
use crate::index::{self, Entry, IndexFile};
use crate::packing::{PackSample, pack_samples};
use crate::plan::{PLAN_VERSION, Plan, PlannedSample, TaskHeader, records_path, task_path};
use crate::records::{Decision, PlannedRecord, RecordWriter};
use crate::rows::{Rows, for_each_entry};
use crate::{Context, PlanError};
use manyframe_base::files::Flush;
use manyframe_base::{AtomicFile, Executor, FileError, StagedDirectory, write_json};

/// A plan and the directory that holds it.
#[derive(Debug, Clone)]
pub struct MadePlan {
    /// The plan.
    pub plan: Plan,
    /// Its directory.
    pub directory: PathBuf,
}

/// What a build does with the samples of the dataset that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Those that would come out the same are taken over.
    TakeOver,
    /// Everything is made anew.
    Ignore,
}

/// Makes the plan of an opened pipeline below a work directory, or takes the one that is there already.
///
/// Index files are kept in `WORK/index`, the plan in `WORK/plan-KEY`. Nothing but these is written.
pub fn make(context: &Context, work: &Path, earlier: Earlier, executor: Executor<'_>) -> Result<MadePlan, PlanError> {
    let key = index::plan_key(context, work)?;
    let directory = work.join(format!("plan-{}", key.to_string().get(..16).unwrap_or_default()));
    if directory.join("plan.json").exists() {
        return Ok(MadePlan { plan: Plan::read(&directory)?, directory });
    }
    let files = index::build(context, work, executor)?;
    let mut rows = Rows::read(context, &files)?;
    let decisions = decide(context, &mut rows, &files, executor)?;
    let plan = plan_from_decisions(context, key, &rows, &decisions, &files)?;

    // A plan appears at once and whole.
    let staged = StagedDirectory::beside(&directory)?;
    write_records(staged.path(), &files, &rows, &decisions)?;
    let built = match earlier {
        Earlier::TakeOver => BuiltSamples::list(context),
        Earlier::Ignore => BuiltSamples::default(),
    };
    write_tasks(staged.path(), &rows, &decisions, &built)?;
    write_json(&staged.path().join("plan.json"), &plan)?;
    staged.publish(Flush::Done)?;
    Ok(MadePlan { plan, directory })
}

fn plan_from_decisions(
    context: &Context,
    key: Digest,
    all: &Rows,
    decisions: &Decisions,
    files: &[IndexFile],
) -> Result<Plan, PlanError> {
    let row_at = |place: usize| all.index.get(decisions.ordered.get(place)?.row);
    let header = |(id, (layout, places)): (usize, &(Option<Layout>, Vec<usize>))| {
        let mut header =
            TaskHeader { id: id as u32, layout: *layout, num_samples: 0, cost: Cost::default(), estimated_bytes: 0 };
        for row in places.iter().filter_map(|&place| row_at(place)) {
            header.num_samples += 1;
            header.cost += row.cost;
            header.estimated_bytes += row.estimated_bytes;
        }
        header
    };
    let samples: Vec<PackSample> = (0..decisions.ordered.len()).filter_map(row_at).map(pack_sample).collect();
    Ok(Plan {
        version: PLAN_VERSION,
        key,
        pipeline: context.pipeline.file.clone(),
        variables: context.pipeline.variables.clone(),
        tokenizer_digest: context.tokenizer_digest,
        num_splits: files.len() as u64,
        num_splits_read: files.iter().filter(|file| file.was_read).count() as u64,
        sources: all.budgets.as_slice().to_vec(),
        pack: pack_samples(&context.pipeline.file, &samples)?.map(|packing| packing.summary),
        tasks: decisions.tasks.iter().enumerate().map(header).collect(),
    })
}

fn pack_sample(row: &IndexRow) -> PackSample {
    PackSample {
        source: row.source,
        num_tokens: row.cost.num_tokens(),
        text_tokens: row.cost.text_tokens,
        num_images: row.cost.num_images,
        num_turns: row.num_turns,
    }
}

fn write_records(directory: &Path, files: &[IndexFile], all: &Rows, decisions: &Decisions) -> Result<(), PlanError> {
    let mut writer = RecordWriter::create(&records_path(directory))?;
    let mut readable = all.index.iter().zip(&decisions.of_row);
    for_each_entry(files, |_, source, entry| {
        let next = if entry.outcome.is_ok() { readable.next() } else { None };
        writer.write(&planned_record(source, entry, next))
    })?;
    writer.finish()
}

fn planned_record(source: SourceIndex, entry: Entry, readable: Option<(&IndexRow, &Decision)>) -> PlannedRecord {
    let Entry { id, subset, upstream_id, origin, outcome } = entry;
    let num_turns = outcome.as_ref().ok().map(|measured| measured.row.num_turns);
    let shortened = outcome.as_ref().map_or_else(|_| String::new(), |measured| measured.fit.in_words());
    let (id, measured, decision) = match (outcome, readable) {
        (Ok(_), Some((row, decision))) => (row.id, Some((row.cost, row.layout)), decision.clone()),
        (Ok(measured), None) => (id, Some((measured.row.cost, measured.row.layout)), Decision::NotDrawn),
        (Err(rejection), _) => (id, None, Decision::Rejected(rejection)),
    };
    PlannedRecord { id, source, subset, upstream_id, origin, measured, num_turns, shortened, decision }
}

fn write_tasks(directory: &Path, all: &Rows, decisions: &Decisions, built: &BuiltSamples) -> Result<(), PlanError> {
    for (id, (_, places)) in decisions.tasks.iter().enumerate() {
        let path = task_path(directory, id as u32);
        let mut file = AtomicFile::create(&path)?;
        let write_error = |error| FileError::write(&path)(error);
        for &number in places {
            let Some(drawn) = decisions.ordered.get(number) else { continue };
            let (Some(row), Some(place)) = (all.index.get(drawn.row), all.places.get(drawn.row)) else { continue };
            let sample = PlannedSample {
                place: number as u64,
                record: place.record,
                record_id: row.id,
                repetition: drawn.repetition,
                source: row.source,
                origin: place.origin.clone(),
                cost: row.cost,
                fit: place.fit.as_deref().copied().unwrap_or_default(),
                reused_from: built.find(row.source, sample_id(row.id, drawn.repetition)),
            };
            serde_json::to_writer(&mut file, &sample).map_err(|error| write_error(error.into()))?;
            file.write_all(b"\n").map_err(write_error)?;
        }
        file.publish()?;
    }
    Ok(())
}
