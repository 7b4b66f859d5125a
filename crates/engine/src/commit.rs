//! Commit: turns the finished tasks of a plan into a dataset, visible in one step and only if every record is accounted for.
//!
//! ```text
//! PLAN/done, PLAN/shards ──▶ PLAN/dataset/{FORMAT/LAYOUT/NNNNNN.EXT, …, ledger.parquet, README.md, build.json, manifest.json}
//!                                   └── exchanged with OUTPUT in one step; at a store: copied and sent, the manifest last
//! ```
//!
//! **Invariant:** whatever is interrupted, OUTPUT is the old dataset or the new one, and committing again finishes.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use manyframe_base::files::{json_text, parent_directory, write_staged};
use manyframe_base::replacement::{is_mount_point, replace_directory, try_replacing};
use manyframe_base::{Executor, FileAction, FileError, Progress, Step};
use manyframe_core::{Digest, HandledImages, HandledVideos, Layout, Total};
use manyframe_dataset::{
    BUILD_FACTS_FILE, BuildFacts, CARD_FILE, DatasetError, DatasetReader, FilesBeside, LEDGER_FILE, LedgerEntry,
    MANIFEST_FILE, MANIFEST_VERSION, Manifest, NeedlesEntry, NotesByShard, PackEntry, ShardEntry, ShardName,
    SourceSummary, WorkDone, named_files, read_ledger,
};
use manyframe_pipeline::{Occupant, Pipeline, dataset_around, portable_settings};
use manyframe_plan::{BuildKeys, ShardDigests, StatedShard, keep_sample_media, remove_other_sample_media};
use manyframe_storage::{LocalDirectory, Storage, Stores};
use serde::Serialize;

use crate::account::{summary_of_decontamination, write_ledger};
use crate::committed::{CommitOptions, Committed};
use crate::error::EngineError;
use crate::gone::gone_files;
use crate::needles::NeedleLines;
use crate::open_plan::OpenPlan;
use crate::packs;
use crate::report::{FinishedTask, ShardReport, TaskReport, shard_path};
use crate::store_output::StoreOutput;

/// Makes the dataset of a plan whose tasks are all done, and publishes it at the pipeline's output.
///
/// `check` sees the dataset, complete but in a staging directory (shards that were sent are at the store), before it is published.
///
/// # Errors
///
/// [`EngineError::Unfinished`] if tasks are not done, [`EngineError::Unaccounted`] if records are missing,
/// [`EngineError::Losses`] if more was rejected than the pipeline file allows, [`EngineError::Occupied`],
/// [`EngineError::Nameless`] or [`EngineError::OtherName`] if the output is something else than a dataset of this name, and
/// every error of `check`. The output is unchanged then, and committing again starts over.
pub fn commit(
    open: &OpenPlan,
    options: CommitOptions,
    executor: Executor<'_>,
    check: impl FnOnce(&DatasetReader) -> Result<(), EngineError>,
) -> Result<Committed, EngineError> {
    ensure_replaceable(&open.context.pipeline, open.store.as_ref(), options)?;
    let staging = Staging::create(open)?;
    let shards = staging.place_shards(executor.progress)?;
    let sources = write_ledger(open, &staging.tasks, &staging.directory.join(LEDGER_FILE))?;
    let manifest = staging.manifest(shards, sources)?;
    let work = staging.work_done();
    FilesBeside::of(&manifest, &staging.notes())?.write(&manifest, &staging.directory)?;
    staging.write_json(BUILD_FACTS_FILE, &staging.build_facts(work, &manifest))?;
    let text = staging.write_json(MANIFEST_FILE, &manifest)?;
    let (dataset, manifest_digest) = (open.dataset().to_owned(), Digest::of(&text));
    let mut committed = Committed { dataset, manifest, manifest_digest, work, uploaded: None };
    let staged = open.store.as_ref().map(|store| store.staged(&open.directory, &staging.tasks)).unwrap_or_default();
    let access = open.context.pipeline.stores.access();
    let assembled = DatasetReader::open_staged(&staging.directory, staged.clone(), access)?;
    let gone = losses_of_files(&open.context.pipeline, &assembled, options);
    if !options.accepts_rejects {
        committed.ensure_within_budget(gone, &staging.directory)?;
    }
    check(&assembled)?;
    let work_directory = parent_directory(&open.directory);
    let media = keep_sample_media(&open.directory, work_directory, &committed.manifest)?;
    if let Some(store) = &open.store {
        store.ensure_sent(&open.directory, &staging.tasks)?;
        let uploaded = store.publish((&staging.directory, &staged), &media, options, executor.progress)?;
        committed.uploaded = Some(uploaded);
    } else {
        // Where directories cannot be exchanged there is a moment without a dataset; committing again recovers from a crash in it.
        replace_directory(&staging.directory, &committed.dataset, &open.directory.join("replaced"))?;
    }
    remove_other_sample_media(work_directory, &committed.manifest)?;
    Ok(committed)
}

impl Committed {
    /// What it lacks beyond what its pipeline file allows, a sentence each.
    pub fn losses(&self) -> Vec<String> {
        let of_sources = self.manifest.sources.iter();
        let mut losses: Vec<String> = of_sources
            .filter_map(|source| Some((&source.budget.name, source.excess()?)))
            .map(|(name, excess)| format!("source {name}: {excess}{}", excess.advice()))
            .collect();
        if let Some(summary) = &self.manifest.decontamination {
            losses.extend(
                summary.max_rejects.and_then(|allowed| summary.excess(allowed)).map(|excess| excess.to_string()),
            );
        }
        if self.manifest.total.num_samples == 0 {
            losses.push("the dataset has no samples".to_owned());
        }
        losses
    }

    fn ensure_within_budget(&self, of_files: Vec<String>, staged: &Path) -> Result<(), EngineError> {
        let losses = [self.losses(), of_files].concat();
        if losses.is_empty() {
            return Ok(());
        }
        let staged = Self { dataset: staged.to_owned(), ..self.clone() };
        Err(EngineError::Losses { losses: losses.join("; "), staged: Box::new(staged) })
    }

    /// Reads an existing dataset.
    pub(crate) fn read(dataset: &Path, stores: &Stores) -> Result<Self, EngineError> {
        Ok(Self::from_reader(&DatasetReader::open_at(dataset, stores)?))
    }

    /// Reads the dataset of a pipeline if it exists and is what a build would make, besides packs that were made since. One that
    /// this version cannot read is not.
    pub(crate) fn read_if_current(
        pipeline: &Pipeline,
        keys: BuildKeys,
        (work, executor): (&Path, Executor<'_>),
    ) -> Result<Option<Self>, EngineError> {
        let (dataset, stores) = (pipeline.file.output.location(), &pipeline.stores);
        let storage = stores.storage(dataset).map_err(DatasetError::from)?;
        if storage.num_bytes(MANIFEST_FILE)?.is_none() {
            return Ok(None);
        }
        match DatasetReader::open_in(storage).and_then(|reader| Ok((reader.build_facts()?, reader))) {
            Ok((Some(facts), reader)) if is_current(&facts, &reader, pipeline, keys)? => {
                let digests = ShardDigests::open(work);
                let changed = digests.damaged(digests.files_of(&reader), executor)?;
                for StatedShard { path, .. } in &changed {
                    tracing::warn!(file = %path.display(), "not the file that its build wrote; the dataset is built again");
                }
                Ok(changed.is_empty().then(|| Self::from_reader(&reader)))
            }
            Ok(_) => Ok(None),
            Err(DatasetError::File(error)) => Err(error.into()),
            Err(error) => {
                tracing::info!(dataset = %dataset.display(), %error, "the dataset is built again");
                Ok(None)
            }
        }
    }

    fn from_reader(reader: &DatasetReader) -> Self {
        let (manifest, manifest_digest) = (reader.manifest().clone(), reader.manifest_digest());
        let (dataset, work) = (reader.location().to_owned(), WorkDone::default());
        Self { dataset, manifest, manifest_digest, work, uploaded: None }
    }
}

/// Whether a dataset has the samples that a build would make. If it was packed since, and the pipeline is the one in its
/// manifest, the key of its plan has the settings of other packs.
pub(crate) fn is_current(
    facts: &BuildFacts,
    dataset: &DatasetReader,
    pipeline: &Pipeline,
    keys: BuildKeys,
) -> Result<bool, EngineError> {
    let manifest = dataset.manifest();
    let is_of_plan = || facts.plan_key == keys.plan && manifest.is_built_by(pipeline);
    let is_packed_since = || {
        let is_of_inputs = facts.inputs_digest == Some(keys.inputs) && facts.variables == pipeline.variables;
        let is_of_version = facts.manyframe_version == env!("CARGO_PKG_VERSION");
        is_of_inputs && is_of_version && manifest.pipeline == portable_settings(pipeline)
    };
    Ok((is_of_plan() || is_packed_since()) && is_whole(dataset, pipeline)?)
}

/// Annotation files that the dataset before had, and with them more records than may be lost, a sentence each. Others are warned of.
fn losses_of_files(pipeline: &Pipeline, assembled: &DatasetReader, options: CommitOptions) -> Vec<String> {
    let dataset = pipeline.file.output.location();
    let gone = gone_files(dataset, assembled, &pipeline.stores).unwrap_or_else(|error| {
        let dataset = dataset.display();
        tracing::warn!(%dataset, %error, "what the new dataset lacks is not known: the one before cannot be read");
        Vec::new()
    });
    let (excess, others): (Vec<_>, Vec<_>) =
        gone.into_iter().partition(|gone| gone.is_excess() && !options.accepts_rejects);
    for gone in others {
        tracing::warn!("{gone}");
    }
    excess.iter().map(ToString::to_string).collect()
}

/// Whether all files that a manifest names are there, and those beside the shards, and shards have their sizes. What is in those
/// that were written to since is compared by whoever says that there is nothing to do, and the rest is for `verify`.
fn is_whole(dataset: &DatasetReader, pipeline: &Pipeline) -> Result<bool, EngineError> {
    // A store tells the sizes of a thousand files at once; where that is not allowed, of one after the other.
    let listed = pipeline.file.output.url().and_then(|_| dataset.storage().list("").ok());
    let listed: Option<BTreeMap<String, u64>> =
        listed.map(|files| files.into_iter().map(|file| (file.path, file.num_bytes)).collect());
    // What readers expect beside the shards follows from the manifest; only Energon's indexes need more.
    let Ok(beside) = FilesBeside::of(dataset.manifest(), &NotesByShard::default()) else { return Ok(false) };
    let beside = beside.paths().chain([CARD_FILE]).map(|path| (path.to_owned(), None));
    let named = named_files(dataset.manifest()).into_iter().map(|(path, stated)| (path, stated.num_bytes));
    for (path, num_bytes) in beside.chain(named) {
        let found = match &listed {
            Some(listed) => listed.get(&path).copied(),
            None => dataset.storage().num_bytes(&path)?,
        };
        if found.is_none() || num_bytes.is_some_and(|stated| found != Some(stated)) {
            tracing::warn!(dataset = %dataset.location().display(), file = path, "a file of the dataset is missing or cut");
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes sure that the output is free or a dataset that may be replaced by one of this name.
pub(crate) fn ensure_replaceable(
    pipeline: &Pipeline,
    store: Option<&StoreOutput>,
    options: CommitOptions,
) -> Result<(), EngineError> {
    let (dataset, name) = (pipeline.file.output.location(), pipeline.file.name.as_str());
    if let Some(store) = store {
        return store.ensure_replaceable(pipeline, options);
    }
    if let Ok(target) = fs::read_link(dataset) {
        return Err(EngineError::OutputIsLink { path: dataset.to_owned(), target });
    }
    let path = || dataset.to_owned();
    if let Some(around) = dataset_around(dataset) {
        return Err(EngineError::InsideDataset { path: path(), around: around.to_owned() });
    }
    match Occupant::of(dataset).map_err(FileError::read(dataset))? {
        Occupant::Other => Err(EngineError::Occupied { path: path() }),
        Occupant::Dataset(found) if found != name && !options.replaces_other_name => {
            Err(EngineError::OtherName { path: path(), found, name: name.to_owned() })
        }
        Occupant::Nameless if !options.replaces_other_name => Err(EngineError::Nameless { path: path() }),
        Occupant::Nothing | Occupant::Dataset(_) | Occupant::Nameless => Ok(()),
    }
}

/// Makes sure, before hours of work, that a dataset that is finished in the work directory can be moved to the output.
pub(crate) fn ensure_publishable(work: &Path, dataset: &Path) -> Result<(), EngineError> {
    if is_mount_point(dataset) {
        return Err(EngineError::OutputIsMounted { path: dataset.to_owned() });
    }
    try_replacing(work, dataset).map_err(|error| match error.source.kind() {
        ErrorKind::CrossesDevices => EngineError::OtherFileSystem { work: work.to_owned(), path: dataset.to_owned() },
        _ => error.into(),
    })
}

/// The dataset while it is assembled, in a staging directory.
struct Staging<'a> {
    open: &'a OpenPlan,
    directory: PathBuf,
    tasks: Vec<FinishedTask>,
}

impl<'a> Staging<'a> {
    /// Starts with an empty directory, whatever an interrupted commit left there.
    fn create(open: &'a OpenPlan) -> Result<Self, EngineError> {
        let tasks = name_shards(read_reports(open)?);
        let directory = open.directory.join("dataset");
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(FileError::when(FileAction::Remove, &directory))?;
        }
        fs::create_dir_all(&directory).map_err(FileError::write(&directory))?;
        Ok(Self { open, directory, tasks })
    }

    /// Writes a value into it; returns the text.
    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<Vec<u8>, FileError> {
        let path = self.directory.join(name);
        let text = json_text(value).map_err(FileError::write(&path))?;
        write_staged(&path, &text)?;
        Ok(text)
    }

    /// Puts the shards of all tasks under their final names, unless they were sent; returns their entries in the manifest.
    fn place_shards(&self, progress: &dyn Progress) -> Result<Vec<ShardEntry>, EngineError> {
        progress.start(Step::Commit, self.tasks.iter().map(|task| task.report.shards.len() as u64).sum());
        let mut entries = Vec::new();
        for FinishedTask { report, shard: name } in &self.tasks {
            let Some(name) = name else { continue };
            let total = report.delivered();
            for shard in &report.shards {
                let path = name.path(shard.format);
                if self.open.store.is_none() {
                    let original = shard_path(&self.open.directory, report.id, shard.format);
                    link(&original, &self.directory.join(path.to_string()))?;
                }
                let (format, layout, num_bytes, digest) = (shard.format, report.layout, shard.num_bytes, shard.digest);
                entries.push(ShardEntry { path, format, layout, num_bytes, digest, total });
                progress.advance(shard.num_samples, 1);
            }
        }
        progress.finish(Step::Commit);
        entries.sort_by_key(|entry| entry.path);
        Ok(entries)
    }

    /// What is known of the bytes of the shards.
    fn notes(&self) -> NotesByShard {
        let of_task = |FinishedTask { report, shard: name }: &FinishedTask| {
            let of_shard = |(name, shard): (ShardName, &ShardReport)| (name.path(shard.format), shard.notes.clone());
            report.shards.iter().filter_map(|shard| name.zip(Some(shard))).map(of_shard).collect::<Vec<_>>()
        };
        self.tasks.iter().flat_map(of_task).collect()
    }

    /// Packs the samples if the pipeline requests it, and describes everything that is staged.
    fn manifest(&self, shards: Vec<ShardEntry>, sources: Vec<SourceSummary>) -> Result<Manifest, EngineError> {
        let plan = &self.open.plan;
        let ledger = LedgerEntry {
            path: LEDGER_FILE.to_owned(),
            digest: LocalDirectory::new(&self.directory).digest(LEDGER_FILE)?,
            num_records: sources.iter().map(|source| source.budget.num_seen + source.budget.num_repeats()).sum(),
        };
        let pipeline = manyframe_pipeline::portable_settings(&self.open.context.pipeline);
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
            template_digest: plan.template_digest,
            total,
            sources,
            decontamination: summary_of_decontamination(plan),
            shards,
            ledger,
            pack: self.write_packs()?,
            needles: self.write_needles()?,
        })
    }

    fn write_needles(&self) -> Result<Option<NeedlesEntry>, EngineError> {
        let ledger = read_ledger(&self.directory.join(LEDGER_FILE))?;
        let lines = NeedleLines::of(&self.open.context, ledger)?;
        lines.map(|lines| lines.write(&self.directory)).transpose()
    }

    fn write_packs(&self) -> Result<Option<PackEntry>, EngineError> {
        let ledger = self.directory.join(LEDGER_FILE);
        let overhead = self.open.context.prompt_overhead()?;
        packs::write(&self.open.plan.pipeline, (read_ledger(&ledger)?, &ledger), &self.directory, overhead)
    }

    fn work_done(&self) -> WorkDone {
        let plan = &self.open.plan;
        let num_delivered: u64 = self.tasks.iter().map(|task| task.report.delivered().num_samples).sum();
        let num_samples_reused = self.tasks.iter().map(|task| task.report.num_reused).sum();
        let mut images = HandledImages::default();
        let mut videos = HandledVideos::default();
        self.tasks.iter().for_each(|task| {
            images += task.report.images;
            videos += task.report.videos;
        });
        WorkDone {
            images,
            videos,
            num_splits_read: plan.num_splits_read,
            num_splits_reused: plan.num_splits - plan.num_splits_read,
            num_samples_made: num_delivered - num_samples_reused,
            num_samples_reused,
        }
    }

    fn build_facts(&self, work: WorkDone, manifest: &Manifest) -> BuildFacts {
        let plan = &self.open.plan;
        BuildFacts {
            plan_key: plan.key,
            inputs_digest: plan.inputs,
            variables: plan.variables.clone(),
            manyframe_version: env!("CARGO_PKG_VERSION").to_owned(),
            settings_digest: Some(manifest.settings_digest()),
            source_settings_digests: self.open.context.named_source_settings_digests().collect(),
            work,
        }
    }
}

fn read_reports(open: &OpenPlan) -> Result<Vec<TaskReport>, EngineError> {
    let plan = &open.plan;
    let mut reports = Vec::new();
    let mut missing = Vec::new();
    for task in &plan.tasks {
        match open.read_report(task.id)? {
            Some(report) => reports.push(report),
            None => missing.push(task.id),
        }
    }
    match missing.first() {
        None => Ok(reports),
        Some(&first) => Err(EngineError::Unfinished { num_missing: missing.len(), num_tasks: plan.tasks.len(), first }),
    }
}

/// Numbers the shards without gaps within each layout.
pub(crate) fn name_shards(reports: Vec<TaskReport>) -> Vec<FinishedTask> {
    let mut next_number: BTreeMap<Option<Layout>, u64> = BTreeMap::new();
    let name = |report: TaskReport| {
        if report.shards.is_empty() {
            return FinishedTask { report, shard: None };
        }
        let number = next_number.entry(report.layout).or_insert(0);
        let shard = Some(ShardName { layout: report.layout, number: *number });
        *number += 1;
        FinishedTask { report, shard }
    };
    reports.into_iter().map(name).collect()
}

/// A second name for a file where the file system can, otherwise a copy: an interrupted commit must be able to start over.
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
