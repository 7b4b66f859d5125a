//! Makes a plan: index, decisions, and the files that a worker needs.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use manyframe_base::files::write_json_unflushed;
use manyframe_base::staged_directory::Flush;
use manyframe_base::{AtomicFile, Executor, FileAction, FileError, StagedDirectory, open_regular, write_json};
use manyframe_core::{Digest, IndexRow, IndexVec, RecordId, SourceIndex};
use manyframe_dataset::{MANIFEST_FILE, PackSummary};
use manyframe_pipeline::{Pipeline, PipelineFile, ReuseTable, portable_settings, resolved_settings};
use manyframe_samplers::Drawn;

use crate::context::Context;
use crate::decisions::candidates::Candidates;
use crate::decisions::tasks::TaskSamples;
use crate::decisions::unwanted::list_unwanted_files;
use crate::decisions::unwanted_media::forget_unwanted;
use crate::decisions::{DecidedSamples, decide};
use crate::error::PlanError;
use crate::index::build::{IndexFiles, build_index};
use crate::index::cache::IndexCache;
use crate::index::file::IndexFile;
use crate::index::media::MediaOfEntries;
use crate::index::refresh::ChangedMedia;
use crate::index::table::{ListedEntry, read_listed};
use crate::index_tasks::IndexTask;
use crate::packing::{PackSample, PackSamples, pack_samples};
use crate::plan::{PLAN_VERSION, Plan, PlannedSample, TaskHeader, plan_path, records_path, task_path};
use crate::records::{Decision, PlannedRecord, RecordWriter};
use crate::reuse::{LeftByPlan, NewPlan, ReusableSamples, Reuse};
use crate::reused::SourceReuse;
use crate::sample_media::{SampleMedia, SampleMediaWriter, sample_media_path};
use crate::seal::{is_intact, plan_seal, seal_again, seal_plan};
use crate::shard_digests::{ShardDigests, StatedShard};

/// What to plan, besides the pipeline.
#[derive(Debug, Clone, Copy)]
pub struct PlanRequest<'a> {
    /// The work directory. Index files are kept in `WORK/index`, the plan in `WORK/plan-KEY`.
    pub work: &'a Path,
    /// What happens to the samples of the dataset that the build replaces.
    pub reuse: Reuse,
    /// Says what the finished tasks in the directory of another plan left.
    pub left_by: fn(&Path) -> LeftByPlan,
    /// Memory that the plan may take, if it is bounded: more records than fit are in files of the work directory while it is made. The
    /// plan is the same.
    pub memory_bytes: Option<u64>,
}

/// A plan and the directory that it is kept in.
#[derive(Debug, Clone)]
pub struct MadePlan {
    /// The plan.
    pub plan: Plan,
    /// Its directory.
    pub directory: PathBuf,
}

/// What tells builds with other results apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildKeys {
    /// Equal for builds that produce the same samples on this machine: a digest of the settings, the contents of all inputs, and
    /// the identities of all media. Neither the location of the output nor `max_rejects` is part of it.
    pub plan: Digest,
    /// The part of it that is a digest of contents of inputs, of what was measured of them, and of identities of media.
    pub inputs: Digest,
}

/// The index of a pipeline as its inputs are now.
#[derive(Debug, Clone)]
pub struct Index {
    /// Its keys.
    pub keys: BuildKeys,
    /// What changed among the media of each source since its index was made.
    pub changed: IndexVec<SourceIndex, ChangedMedia>,
    files: Vec<IndexFile>,
    num_read_elsewhere: u64,
}

impl Index {
    fn num_splits_read(&self) -> u64 {
        self.files.iter().filter(|file| file.was_read).map(|file| file.num_splits).sum::<u64>()
            + self.num_read_elsewhere
    }

    /// Counts index files as read now: they were made for this build, on other machines.
    pub fn count_as_read(&mut self, tasks: &[IndexTask]) {
        let names: BTreeSet<&str> = tasks.iter().map(IndexTask::file).collect();
        let is_of_task = |file: &&IndexFile| {
            let name = file.path.file_name().and_then(|name| name.to_str());
            !file.was_read && name.is_some_and(|name| names.contains(name))
        };
        self.num_read_elsewhere = self.files.iter().filter(is_of_task).map(|file| file.num_splits).sum();
    }
}

/// Makes the index of an opened pipeline, or brings the one that the work directory keeps up to date: records whose media
/// changed are measured again.
///
/// # Errors
///
/// If an input cannot be read, or the work directory cannot be written.
pub fn make_index(context: &Context, work: &Path, executor: Executor<'_>) -> Result<Index, PlanError> {
    let cache = IndexCache::open(context, work)?;
    check_replayed_shards(context, work, executor)?;
    let IndexFiles { files, changed } = build_index(context, &cache, executor)?;
    let inputs = inputs_digest(context, &cache, &files)?;
    let keys = BuildKeys { plan: plan_key(context, inputs), inputs };
    cache.save()?;
    Ok(Index { keys, changed, files, num_read_elsewhere: 0 })
}

/// What a replay takes over has to be what the build of its dataset wrote: nothing else would ever say that it is not.
fn check_replayed_shards(context: &Context, work: &Path, executor: Executor<'_>) -> Result<(), PlanError> {
    let digests = ShardDigests::open(work);
    for source in &context.sources {
        let shards = source.stated_shards().to_vec();
        if let Some(StatedShard { path, .. }) = digests.damaged(shards, executor)?.into_iter().next() {
            return Err(PlanError::OtherShard { source_name: source.table.name.clone(), path });
        }
    }
    Ok(())
}

/// Makes the plan of an opened pipeline, or reads it if the work directory already contains it. Nothing is written
/// elsewhere.
///
/// # Errors
///
/// If an input cannot be read, the work directory cannot be written, or the sources cannot be mixed as the pipeline
/// file specifies. A record that cannot be delivered is not an error.
pub fn make(
    context: &Context,
    index: &Index,
    request: PlanRequest<'_>,
    executor: Executor<'_>,
) -> Result<MadePlan, PlanError> {
    let PlanRequest { work, reuse, left_by, memory_bytes } = request;
    let digits = index.keys.plan.to_string();
    let directory = work.join(format!("plan-{}", digits.get(..16).unwrap_or(&digits)));
    if directory.exists() {
        if is_intact(&plan_seal(&directory)) {
            return Ok(MadePlan { plan: read_for(&context.pipeline, &directory)?, directory });
        }
        tracing::warn!(plan = %directory.display(), "a damaged plan is made again, and its tasks are run again");
        std::fs::remove_dir_all(&directory).map_err(FileError::when(FileAction::Remove, &directory))?;
    }
    let mut candidates = Candidates::read(context, &index.files, (work, memory_bytes))?;
    let samples = decide((context, work), &mut candidates, executor)?;
    let draft = DecidedPlan { context, candidates: &candidates, samples: &samples };
    let mut plan = draft.plan(index);

    // A plan appears at once and whole.
    let staged = StagedDirectory::beside(&directory)?;
    draft.write_records(staged.path())?;
    let media = sample_media_path(staged.path());
    let reusable = ReusableSamples::list(&NewPlan { context, work, media: &media, left_by, executor }, reuse);
    plan.reuse = draft.write_tasks(staged.path(), &reusable)?;
    drop(reusable);
    plan.pack = pack_summary(context, candidates, samples)?;
    write_json_unflushed(&plan_path(staged.path()), &plan)?;
    seal_plan(staged.path())?;
    // A small one that a power failure damages is soon made again; its seal tells.
    let flush = if plan.tasks.len() < LEAST_TASKS_FLUSHED { Flush::Never } else { Flush::FileSystem };
    staged.publish(flush)?;
    forget_unwanted(work)?;
    Ok(MadePlan { plan, directory })
}

/// What packs of the samples cost. Everything else that is known of them is given up, because packing takes much memory, too.
fn pack_summary(
    context: &Context,
    candidates: Candidates,
    samples: DecidedSamples,
) -> Result<Option<PackSummary>, PlanError> {
    let file = &context.pipeline.file;
    if file.pack.is_none() {
        return Ok(None);
    }
    let (rows, delivery) = (candidates.into_rows(), samples.delivery);
    let sample = |position| {
        let IndexRow { source, cost, num_turns, .. } = delivery.row(&rows, position);
        PackSample::new(source, &cost, num_turns)
    };
    let to_pack: PackSamples = (0..delivery.num_samples()).map(sample).collect();
    drop((rows, delivery));
    Ok(pack_samples(file, to_pack, context.prompt_overhead()?)?.map(|packing| packing.summary))
}

/// The plan in a directory, with the settings of a pipeline that has the same key: they may differ in what no plan depends on,
/// such as the share of rejects that is allowed, or the directory of the dataset.
fn read_for(pipeline: &Pipeline, directory: &Path) -> Result<Plan, PlanError> {
    let mut plan = Plan::read(directory)?;
    let judgement = |file: &PipelineFile| {
        let shares: Vec<_> = file.source.iter().map(|source| source.max_rejects).collect();
        (file.output.directory.clone(), file.output.work.clone(), shares, file.decontamination.max_rejects)
    };
    if judgement(&plan.pipeline) != judgement(&pipeline.file) {
        let Pipeline { file, portable, variables, stores: _ } = pipeline.clone();
        (plan.pipeline, plan.portable, plan.variables) = (file, portable, variables);
        // Much may be done of it: it is not made again for a change of a limit.
        write_json(&plan_path(directory), &plan)?;
        seal_again(&plan_seal(directory))?;
    }
    Ok(plan)
}

/// A plan of fewer tasks is published without waiting for the disk.
const LEAST_TASKS_FLUSHED: usize = 64;

/// Raised whenever a plan of an earlier version says other things of what no sample may show. Plans without that stay what they are.
const DECONTAMINATION_VERSION: u32 = 2;

/// The key of a plan, as [`BuildKeys::plan`] describes it. An index has rows for all media, and their identities beside it.
pub(crate) fn plan_key(context: &Context, inputs: Digest) -> Digest {
    let mut pipeline = context.pipeline.clone();
    // What a plan has come to is judged by these.
    for source in pipeline.file.source.iter_mut().chain(&mut pipeline.portable.source) {
        source.max_rejects = None;
    }
    for file in [&mut pipeline.file, &mut pipeline.portable] {
        file.decontamination.max_rejects = None;
    }
    let mut settings = resolved_settings(&pipeline.file);
    settings.output.directory.clear();
    settings.output.root.clear();
    settings.output.work.clear();
    settings.reuse = ReuseTable::default();
    // They are filled in everywhere else.
    settings.vars.clear();
    // What paths denote decides what is read, and how they are written goes into the dataset.
    let written = portable_settings(&pipeline);
    let of_decontamination = settings.decontamination.is_active().then(|| DECONTAMINATION_VERSION.to_string());
    let settings = serde_json::json!((settings, written)).to_string();
    let version = PLAN_VERSION.to_string();
    let fields = [settings.as_bytes(), version.as_bytes(), &inputs.0];
    Digest::of_fields(fields.into_iter().chain(of_decontamination.as_ref().map(String::as_bytes)))
}

/// The part of a key that is not about settings, as [`BuildKeys::inputs`] describes it.
pub(crate) fn inputs_digest(
    context: &Context,
    cache: &IndexCache<'_>,
    files: &[IndexFile],
) -> Result<Digest, PlanError> {
    let mut fields = Vec::new();
    for file in files {
        fields.push(file.path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        for path in [&file.path, &file.media_path()] {
            fields.push(digest_of(path)?.to_string());
        }
    }
    for source in &context.sources {
        for dataset in source.table.delivered_in.as_slice().iter().chain(source.table.not_delivered_in.as_slice()) {
            fields.push(cache.digest_of(&Path::new(dataset).join(MANIFEST_FILE))?);
        }
    }
    fields.extend(list_unwanted_files(context)?);
    Ok(Digest::of_fields(fields.iter().map(String::as_bytes)))
}

fn digest_of(path: &Path) -> Result<Digest, PlanError> {
    let read_error = |source| PlanError::Read { path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open_regular(path).map_err(read_error)?).map_err(read_error)?;
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Everything that is decided, before it is written.
struct DecidedPlan<'a> {
    context: &'a Context,
    candidates: &'a Candidates,
    samples: &'a DecidedSamples,
}

impl DecidedPlan<'_> {
    /// The plan, but for what it reuses and for its packs.
    fn plan(&self, index: &Index) -> Plan {
        let Self { context, candidates, samples } = self;
        let pipeline = &context.pipeline;
        Plan {
            version: PLAN_VERSION,
            key: index.keys.plan,
            inputs: Some(index.keys.inputs),
            pipeline: pipeline.file.clone(),
            portable: pipeline.portable.clone(),
            variables: pipeline.variables.clone(),
            tokenizer_digest: context.tokenizer_digest,
            template_digest: context.template_digest,
            num_splits: index.files.iter().map(|file| file.num_splits).sum(),
            num_splits_read: index.num_splits_read(),
            sources: candidates.budgets.as_slice().to_vec(),
            decontamination: samples.decontamination.clone(),
            pack: None,
            reuse: Vec::new(),
            tasks: self.task_headers(),
        }
    }

    fn task_headers(&self) -> Vec<TaskHeader> {
        let header = |(id, task): (u32, &TaskSamples)| TaskHeader {
            id,
            layout: task.layout,
            num_samples: task.fill.num_samples,
            cost: task.cost,
            estimated_bytes: task.fill.num_bytes,
        };
        (0..).zip(&self.samples.tasks).map(header).collect()
    }

    fn write_records(&self, directory: &Path) -> Result<(), PlanError> {
        let mut writer = RecordWriter::create_for_work(&records_path(directory))?;
        let mut media_writer = SampleMediaWriter::create_for_work(&sample_media_path(directory))?;
        let mut measured = (0..self.candidates.num_rows()).map(|row| self.candidates.decided(row));
        let mut reject_id = self.candidates.reject_ids();
        for file in self.candidates.files() {
            let (path, source) = (&file.file.path, file.file.source);
            let mut media = MediaOfEntries::open(path)?;
            for (number, entry) in (0..).zip(read_listed(path)?) {
                let record = planned_record(entry?, source, &mut measured, &mut reject_id);
                let too_many = || PlanError::damaged(path, "it has more records than when it was read before");
                let record = record.ok_or_else(too_many)?;
                writer.write(&record)?;
                if let (Decision::Drawn(_), Some(media)) = (&record.decision, media.of(number)?) {
                    media_writer.write(&SampleMedia::of(record.id, media))?;
                }
            }
        }
        media_writer.finish_unflushed()?;
        Ok(writer.finish_unflushed()?)
    }

    fn write_tasks(&self, directory: &Path, reusable: &ReusableSamples) -> Result<Vec<SourceReuse>, PlanError> {
        let mut reuse = reusable.start_count(self.context);
        let mut line = Vec::new();
        for (id, task) in (0..).zip(&self.samples.tasks) {
            let path = task_path(directory, id);
            let mut file = AtomicFile::create(&path)?;
            for &position in &task.positions {
                let sample = self.planned_sample(position, reusable, &mut reuse);
                line.clear();
                serde_json::to_writer(&mut line, &sample).map_err(|error| FileError::write(&path)(error.into()))?;
                line.push(b'\n');
                file.write_all(&line).map_err(FileError::write(&path))?;
            }
            file.publish_unflushed()?;
        }
        Ok(reuse.into_vec())
    }

    fn planned_sample(
        &self,
        position: u32,
        reusable: &ReusableSamples,
        reuse: &mut IndexVec<SourceIndex, SourceReuse>,
    ) -> PlannedSample {
        let (candidates, delivery) = (self.candidates, &self.samples.delivery);
        let Drawn { repetition, .. } = delivery.at(position);
        let (row, location) = (delivery.row(candidates.rows(), position), delivery.location(candidates, position));
        let found = reusable.find(&row, repetition);
        if let Some(of_source) = reuse.get_mut(row.source) {
            of_source.count(found.as_ref().err().copied(), || {
                let changed = reusable.changed_medium(row.id).map(str::to_owned);
                changed.unwrap_or_else(|| location.origin.to_string())
            });
        }
        PlannedSample {
            position: position.into(),
            record: location.record,
            record_id: row.id,
            repetition,
            source: row.source,
            origin: location.origin,
            cost: row.cost,
            reduction: location.reduction,
            reused_from: found.ok(),
        }
    }
}

/// The record of an index entry. `None` if it was measured and no candidate is left for it.
fn planned_record(
    entry: ListedEntry,
    source: SourceIndex,
    measured: &mut impl Iterator<Item = (IndexRow, Decision)>,
    reject_id: &mut impl FnMut(RecordId) -> RecordId,
) -> Option<PlannedRecord> {
    let ListedEntry { id, subset, upstream_id, origin, outcome } = entry;
    Some(match outcome {
        Ok(reduction) => {
            let (row, decision) = measured.next()?;
            PlannedRecord {
                id: row.id,
                source,
                subset,
                upstream_id,
                origin,
                measured: Some((row.cost, row.layout)),
                num_turns: Some(row.num_turns),
                shortened: if reduction.is_none() { String::new() } else { reduction.to_string() },
                decision,
            }
        }
        Err(rejection) => PlannedRecord {
            id: reject_id(id),
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
