//! Makes a plan: index, decisions, and the files that a worker needs.

use std::io::Write;
use std::path::{Path, PathBuf};

use manyframe_base::files::Flush;
use manyframe_base::{AtomicFile, Executor, FileError, StagedDirectory, write_json};
use manyframe_core::{Cost, Digest, IndexRow, SourceIndex};
use manyframe_dataset::MANIFEST_FILE;
use manyframe_samplers::sample_id;

use crate::context::Context;
use crate::decisions::candidates::Candidates;
use crate::decisions::decontamination::list_unwanted_files;
use crate::decisions::tasks::TaskSamples;
use crate::decisions::{DecidedSamples, decide};
use crate::error::PlanError;
use crate::index::build::{IndexFile, build_index, list_splits};
use crate::index::cache::IndexCache;
use crate::index::table::{IndexEntry, MeasuredRecord, read_entries};
use crate::packing::{PackSample, pack_samples};
use crate::plan::{PLAN_VERSION, Plan, PlannedSample, TaskHeader, records_path, task_path};
use crate::records::{Decision, PlannedRecord, RecordWriter};
use crate::reuse::{ReusableSamples, Reuse};

/// What to plan, besides the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// The work directory. Index files are kept in `WORK/index`, the plan in `WORK/plan-KEY`.
    pub work: &'a Path,
    /// What happens to the samples of the dataset that the build replaces.
    pub reuse: Reuse,
}

/// A plan and the directory that it is kept in.
#[derive(Debug, Clone)]
pub struct MadePlan {
    /// The plan.
    pub plan: Plan,
    /// Its directory.
    pub directory: PathBuf,
}

/// Makes the plan of an opened pipeline, or reads it if the work directory already contains it. Nothing is written
/// elsewhere.
///
/// # Errors
///
/// If an input cannot be read, the work directory cannot be written, or the sources cannot be mixed as the pipeline
/// file specifies. A record that cannot be delivered is not an error.
pub fn make(context: &Context, request: PlanRequest<'_>, executor: Executor<'_>) -> Result<MadePlan, PlanError> {
    let PlanRequest { work, reuse } = request;
    let key = plan_key(context, work)?;
    let digits = key.to_string();
    let directory = work.join(format!("plan-{}", digits.get(..16).unwrap_or(&digits)));
    if directory.join("plan.json").exists() {
        return Ok(MadePlan { plan: Plan::read(&directory)?, directory });
    }
    let files = build_index(context, work, executor)?;
    let mut candidates = Candidates::read(context, &files)?;
    let samples = decide(context, &mut candidates, executor)?;
    let draft = DecidedPlan { context, candidates: &candidates, samples: &samples };
    let plan = draft.plan(key, &files)?;

    // A plan appears at once and whole.
    let staged = StagedDirectory::beside(&directory)?;
    draft.write_records(staged.path())?;
    draft.write_tasks(staged.path(), &ReusableSamples::list(context, reuse))?;
    write_json(&staged.path().join("plan.json"), &plan)?;
    staged.publish(Flush::Done)?;
    Ok(MadePlan { plan, directory })
}

/// The key of a plan, equal for builds that produce the same bytes on this machine: a digest of the settings and of the contents
/// of all inputs. The location of the output is not part of it.
///
/// # Errors
///
/// If an input cannot be read, or digests cannot be kept in the work directory.
pub fn plan_key(context: &Context, work: &Path) -> Result<Digest, PlanError> {
    let cache = IndexCache::open(context, work)?;
    let mut settings = context.pipeline.file.clone();
    settings.output.directory.clear();
    settings.output.root.clear();
    let mut fields = vec![serde_json::json!(settings).to_string(), PLAN_VERSION.to_string()];
    for (source, split) in list_splits(context)? {
        fields.push(cache.file_name(source, &split)?);
    }
    for source in &context.sources {
        for dataset in source.table.delivered_in.as_slice().iter().chain(source.table.not_delivered_in.as_slice()) {
            fields.push(cache.digest_of(&Path::new(dataset).join(MANIFEST_FILE))?);
        }
    }
    fields.extend(list_unwanted_files(context)?);
    cache.save()?;
    Ok(Digest::of_fields(fields.iter().map(String::as_bytes)))
}

/// Everything that is decided, before it is written.
struct DecidedPlan<'a> {
    context: &'a Context,
    candidates: &'a Candidates,
    samples: &'a DecidedSamples,
}

impl DecidedPlan<'_> {
    fn plan(&self, key: Digest, files: &[IndexFile]) -> Result<Plan, PlanError> {
        let Self { context, candidates, samples } = self;
        let pipeline = &context.pipeline;
        let lengths: Vec<PackSample> =
            samples.ordered.iter().map(|drawn| pack_sample(candidates.row(drawn.row))).collect();
        Ok(Plan {
            version: PLAN_VERSION,
            key,
            pipeline: pipeline.file.clone(),
            variables: pipeline.variables.clone(),
            tokenizer_digest: context.tokenizer_digest,
            num_splits: files.len() as u64,
            num_splits_read: files.iter().filter(|file| file.was_read).count() as u64,
            sources: candidates.budgets.as_slice().to_vec(),
            pack: pack_samples(&pipeline.file, &lengths)?.map(|packing| packing.summary),
            tasks: self.task_headers(),
        })
    }

    fn task_headers(&self) -> Vec<TaskHeader> {
        let header = |(id, task): (u32, &TaskSamples)| {
            let mut header = TaskHeader {
                id,
                layout: task.layout,
                num_samples: task.positions.len() as u64,
                cost: Cost::default(),
                estimated_bytes: 0,
            };
            for &position in &task.positions {
                let row = self.candidates.row(self.samples.at(position).row);
                header.cost += row.cost;
                header.estimated_bytes += row.estimated_bytes;
            }
            header
        };
        (0..).zip(&self.samples.tasks).map(header).collect()
    }

    fn write_records(&self, directory: &Path) -> Result<(), PlanError> {
        let mut writer = RecordWriter::create(&records_path(directory))?;
        let mut measured = self.candidates.decided();
        for file in self.candidates.files() {
            let (path, source) = (&file.file.path, file.file.source);
            for entry in read_entries(path, source)? {
                let record = planned_record(entry?, source, &mut measured);
                let too_many = || PlanError::damaged(path, "it has more records than when it was read before");
                writer.write(&record.ok_or_else(too_many)?)?;
            }
        }
        Ok(writer.finish()?)
    }

    fn write_tasks(&self, directory: &Path, reusable: &ReusableSamples) -> Result<(), PlanError> {
        for (id, task) in (0..).zip(&self.samples.tasks) {
            let path = task_path(directory, id);
            let mut file = AtomicFile::create(&path)?;
            for &position in &task.positions {
                let sample = self.planned_sample(position, reusable);
                serde_json::to_writer(&mut file, &sample).map_err(|error| FileError::write(&path)(error.into()))?;
                file.write_all(b"\n").map_err(FileError::write(&path))?;
            }
            file.publish()?;
        }
        Ok(())
    }

    fn planned_sample(&self, position: usize, reusable: &ReusableSamples) -> PlannedSample {
        let drawn = self.samples.at(position);
        let (row, location) = (self.candidates.row(drawn.row), self.candidates.location(drawn.row));
        PlannedSample {
            position: position as u64,
            record: location.record,
            record_id: row.id,
            repetition: drawn.repetition,
            source: row.source,
            origin: location.origin.clone(),
            cost: row.cost,
            reduction: location.reduction(),
            reused_from: reusable.find(row.source, sample_id(row.id, drawn.repetition)),
        }
    }
}

/// The record of an index entry. `None` if it was measured and no candidate is left for it.
fn planned_record<'a>(
    entry: IndexEntry,
    source: SourceIndex,
    measured: &mut impl Iterator<Item = (&'a IndexRow, &'a Decision)>,
) -> Option<PlannedRecord> {
    let IndexEntry { id, subset, upstream_id, origin, outcome } = entry;
    Some(match outcome {
        Ok(MeasuredRecord { reduction, .. }) => {
            let (row, decision) = measured.next()?;
            PlannedRecord {
                id: row.id,
                source,
                subset,
                upstream_id,
                origin,
                measured: Some((row.cost, row.layout)),
                num_turns: Some(row.num_turns),
                shortened: reduction.to_string(),
                decision: decision.clone(),
            }
        }
        Err(rejection) => PlannedRecord {
            id,
            source,
            subset,
            upstream_id,
            origin,
            measured: None,
            num_turns: None,
            shortened: String::new(),
            decision: Decision::Rejected(rejection),
        },
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
