//! The life of a build, from a pipeline to a dataset.
//!
//! ```text
//! Build::open ──index──▶ IndexedBuild ──plan──▶ PlannedBuild ──run──▶ (all tasks done) ──commit──▶ BuildOutcome
//!    │                       └── up_to_date: nothing else has to be done
//!    └── finish: all of it in one call
//! ```
//!
//! **Invariant:** a build may be interrupted at any time; opening it again continues where it stopped.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use manyframe_base::files::{free_bytes, parent_directory};
use manyframe_base::in_flight::InFlight;
use manyframe_base::{Executor, Step, memory_bytes};
use manyframe_dataset::{DatasetReader, Excess, MANIFEST_FILE, Manifest};
use manyframe_pipeline::Pipeline;
use manyframe_plan::{
    ChangedMedia, Context, Doubt, Index, MadePlan, Plan, PlanRequest, Reuse, SourceReuse, Verdict, doubts,
};
use manyframe_samplers::Difference;
use manyframe_storage::Stores;
use manyframe_validate::measure::{Meter, Report};
use schemars::JsonSchema;
use serde::Serialize;

use crate::account::summary_before_run;
use crate::commit::{commit, ensure_publishable, ensure_replaceable};
use crate::committed::{CommitOptions, Committed};
use crate::current::keep_digests;
use crate::engine::{Engine, LocalEngine, TaskSet, tasks_at_once};
use crate::error::EngineError;
use crate::forecast::{RunForecast, Speeds, Workers, forecast};
use crate::index_tasks::{IndexTasks, remove_index_tasks};
use crate::open_plan::OpenPlan;
use crate::packs::repack;
use crate::plan_at_store::PlanAtStore;
use crate::report::list_left;
use crate::store_output::StoreOutput;
use crate::validate::{ValidateOn, ValidateRequest, validate_staged};
use crate::work::{ROUGH_READ_PER_BYTE, Rate, RateBasis, WorkDirectory};

/// How a build treats what earlier builds left, and what it may publish.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Forgets the index, the plan, finished tasks and the samples of earlier builds. Default: reuse them.
    pub is_fresh: bool,
    /// Continues a build whose process was lost: what it did is kept, even if it is fresh.
    pub resumes: bool,
    /// What publishing its dataset may do.
    pub commit: CommitOptions,
}

/// A build of one dataset. As long as it exists, no other process can open one with the same output.
pub struct Build {
    context: Context,
    /// Seconds that it took to open it.
    opened_s: f64,
    work: WorkDirectory,
    options: BuildOptions,
    store: Option<StoreOutput>,
}

/// A build that knows the state of all inputs.
pub struct IndexedBuild {
    build: Build,
    index: Index,
}

/// A build whose plan is made.
pub struct PlannedBuild {
    changed_media: Vec<(String, ChangedMedia)>,
    open: OpenPlan,
    opened_s: f64,
    work: WorkDirectory,
    options: CommitOptions,
    run: Option<TimedRun>,
}

/// How long the tasks took that the threads of this process ran.
struct TimedRun {
    estimated_bytes: u64,
    thread_seconds: f64,
    seconds: f64,
    read_bytes: Option<u64>,
}

/// What a build resulted in.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOutcome {
    /// The dataset.
    pub committed: Committed,
    /// What was done for it.
    pub action: BuildAction,
    /// What was reused of each source, and why the rest was made; empty if nothing was built.
    pub reuse: Vec<SourceReuse>,
    /// What a model measured before the dataset was published, if the pipeline file has a table `[validate]`.
    pub validation: Option<Report>,
}

/// What a build had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildAction {
    /// Tasks were run and committed.
    Built,
    /// Only the pack index was rewritten: the dataset had been packed with other settings since the last build.
    Repacked,
    /// Nothing: pipeline file and inputs are those of the last build.
    Nothing,
}

/// How long a build will take, roughly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeEstimate {
    /// Seconds.
    pub seconds: f64,
    /// What the estimate rests on.
    pub basis: RateBasis,
}

impl Build {
    /// Locks the work directory of the pipeline's output and opens sources, media and tokenizer. Reads no annotation.
    ///
    /// # Errors
    ///
    /// [`EngineError::Occupied`] or [`EngineError::OtherName`] if the output is something else than a dataset of this name,
    /// [`EngineError::Transfer`] if its store says so, or says nothing, [`EngineError::Locked`] if another process builds it, [`EngineError::Plan`] if a source, its media or the tokenizer cannot be opened.
    pub fn open(pipeline: Pipeline, options: BuildOptions) -> Result<Self, EngineError> {
        let store = StoreOutput::of(&pipeline)?;
        ensure_replaceable(&pipeline, store.as_ref(), options.commit)?;
        let work = WorkDirectory::lock(&pipeline.file.output)?;
        if options.is_fresh && !options.resumes {
            let plans = work.plans()?;
            store.iter().try_for_each(|store| store.abandon(&plans).and_then(|()| store.remove_plans()))?;
            work.clear()?;
        }
        let started = Instant::now();
        let context = Context::open(pipeline)?;
        Ok(Self { context, opened_s: started.elapsed().as_secs_f64(), work, options, store })
    }

    /// Notes what threads work on, and rejects what the process of an earlier attempt at this build did not survive.
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if what is rejected cannot be kept.
    pub fn watch(&mut self, in_flight: Arc<InFlight>, verdicts: &[Verdict]) -> Result<(), EngineError> {
        Ok(manyframe_plan::watch(&mut self.context, in_flight, verdicts)?)
    }

    /// Does all remaining work: nothing, repacking, or planning, running and committing.
    ///
    /// # Errors
    ///
    /// Those of [`Self::plan`], [`PlannedBuild::run`] and [`PlannedBuild::commit`].
    ///
    /// # Examples
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use manyframe_base::{Executor, NoProgress};
    /// use manyframe_engine::{Build, BuildAction, BuildOptions, LocalEngine};
    /// use manyframe_validate::measure::Meter;
    ///
    /// struct Clock(std::time::Instant);
    ///
    /// impl Meter for Clock {
    ///     fn seconds(&self) -> f64 {
    ///         self.0.elapsed().as_secs_f64()
    ///     }
    /// }
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let annotations = directory.path().join("a.json");
    /// # std::fs::write(&annotations, r#"[{"id": "1", "conversations": [
    /// #     {"from": "human", "value": "What is two and two?"}, {"from": "gpt", "value": "Four."}]}]"#)?;
    /// # let file = directory.path().join("pipeline.toml");
    /// # let tokenizer = concat!(env!("CARGO_MANIFEST_DIR"), "/../format/tests/golden/jamba.model");
    /// # std::fs::write(&file, format!(
    /// #     "name = 'small'\n[output]\ndirectory = {:?}\n[format]\ntokenizer = {tokenizer:?}\n\
    /// #      [[source]]\nname = 'a'\nkind = 'text'\nannotations = {annotations:?}\n",
    /// #     directory.path().join("dataset"),
    /// # ))?;
    /// let pool = rayon::ThreadPoolBuilder::new().build()?;
    /// let executor = Executor { pool: &pool, progress: &NoProgress };
    /// for action in [BuildAction::Built, BuildAction::Nothing] {
    ///     let pipeline = manyframe_pipeline::read(&file, &[])?.pipeline;
    ///     let build = Build::open(pipeline, BuildOptions::default())?;
    ///     let outcome = build.finish(&LocalEngine, executor, &Clock(std::time::Instant::now()))?;
    ///     assert_eq!(outcome.action, action);
    ///     assert_eq!(outcome.committed.manifest.total.num_samples, 1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn finish(
        self,
        engine: &dyn Engine,
        executor: Executor<'_>,
        meter: &dyn Meter,
    ) -> Result<BuildOutcome, EngineError> {
        self.finish_watched(engine, executor, meter, &mut |_planned| {})
    }

    /// As [`Self::finish`]; `before_run` sees what is about to be done.
    ///
    /// # Errors
    ///
    /// Those of [`Self::finish`].
    pub fn finish_watched(
        self,
        engine: &dyn Engine,
        executor: Executor<'_>,
        meter: &dyn Meter,
        before_run: &mut dyn FnMut(&PlannedBuild),
    ) -> Result<BuildOutcome, EngineError> {
        // A missing model or a wrong policy is reported before hours of work.
        ValidateRequest::of_pipeline(&self.context.pipeline.file)?;
        if !engine.shares_disk() && self.store.is_none() {
            return Err(EngineError::NeedsSharedDisk { directory: self.work.path().to_owned() });
        }
        let dataset = self.context.pipeline.file.output.location();
        // Of one that is there, there may be nothing to do.
        if self.store.is_none() && !dataset.join(MANIFEST_FILE).exists() {
            ensure_publishable(self.work.path(), dataset)?;
        }
        let indexed = self.index_on(engine, executor)?;
        if let Some(outcome) = indexed.up_to_date(executor)? {
            return Ok(outcome);
        }
        let mut planned = indexed.plan(executor)?;
        before_run(&planned);
        planned.run(engine, executor, meter)?;
        planned.commit(ValidateOn { engine, executor, meter })
    }

    /// Makes the index, or brings it up to date with annotations and media.
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if an input cannot be read.
    pub fn index(self, executor: Executor<'_>) -> Result<IndexedBuild, EngineError> {
        let index = manyframe_plan::make_index(&self.context, self.work.path(), executor)?;
        Ok(IndexedBuild { build: self, index })
    }

    /// As [`Self::index`]; index files that are not there are made as tasks of an engine whose machines are not this one.
    ///
    /// # Errors
    ///
    /// Those of [`Self::index`] and of the engine.
    pub fn index_on(self, engine: &dyn Engine, executor: Executor<'_>) -> Result<IndexedBuild, EngineError> {
        let missing = if engine.makes_indexes() { IndexTasks::of_work(&self.context, self.work.path())? } else { None };
        let Some(missing) = missing else { return self.index(executor) };
        let (tasks, unfinished) = (missing.tasks().to_vec(), missing.unfinished());
        executor.progress.start(Step::Index, unfinished.iter().map(|task| missing.size(*task)).sum());
        engine.run(&missing, &unfinished, executor)?;
        executor.progress.finish(Step::Index);
        let mut indexed = self.index(executor)?;
        remove_index_tasks(indexed.build.work.path())?;
        indexed.index.count_as_read(&tasks);
        Ok(indexed)
    }

    /// Makes the index and the plan.
    ///
    /// # Errors
    ///
    /// Those of [`Self::index`] and [`IndexedBuild::plan`].
    pub fn plan(self, executor: Executor<'_>) -> Result<PlannedBuild, EngineError> {
        self.index(executor)?.plan(executor)
    }
}

impl IndexedBuild {
    /// What changed since the last index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The existing dataset, if this build would make the same one. It is repacked if it was packed with other
    /// settings since. `None` for a fresh build.
    ///
    /// # Errors
    ///
    /// An error if the dataset cannot be read or packed.
    pub fn up_to_date(&self, executor: Executor<'_>) -> Result<Option<BuildOutcome>, EngineError> {
        let Build { context, work, options, store, .. } = &self.build;
        if options.is_fresh {
            return Ok(None);
        }
        let (dataset, stores) = (context.pipeline.file.output.location(), &context.pipeline.stores);
        let current = Committed::read_if_current(&context.pipeline, self.index.keys, (work.path(), executor))?;
        let Some(committed) = current else { return Ok(None) };
        let plans = work.plans()?;
        let settle = |store: &StoreOutput| store.settle(committed.manifest_digest, &plans);
        store.iter().try_for_each(|store| store.abandon(&plans).and_then(|()| settle(store)))?;
        work.remove_plans()?;
        let packed = committed.manifest.pack.as_ref().map(|pack| &pack.summary.settings);
        let (committed, action) = match &context.pipeline.file.pack {
            Some(table) if packed != Some(table) => {
                repack(&DatasetReader::open_at(dataset, stores)?, table)?;
                (Committed::read(dataset, stores)?, BuildAction::Repacked)
            }
            _ => (committed, BuildAction::Nothing),
        };
        Ok(Some(BuildOutcome { committed, action, reuse: Vec::new(), validation: None }))
    }

    /// Makes the plan, or reads the one that an interrupted build left.
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if the pipeline requests what its sources do not have.
    pub fn plan(self, executor: Executor<'_>) -> Result<PlannedBuild, EngineError> {
        let Self { build: Build { context, opened_s, work, options, store }, index } = self;
        for Doubt { source, message } in doubts(&context) {
            tracing::warn!(source, "{message}");
        }
        let names = context.sources.iter().map(|source| source.table.name.clone());
        let changed = names.zip(index.changed.iter().cloned());
        let changed_media = changed.filter(|(_, changed)| changed.num_records > 0).collect();
        let reuse = if options.is_fresh { Reuse::Nothing } else { Reuse::Unchanged };
        let request = PlanRequest { work: work.path(), reuse, left_by: list_left, memory_bytes: memory_bytes() };
        let MadePlan { plan, directory } = manyframe_plan::make(&context, &index, request, executor)?;
        let open = OpenPlan { context, plan, directory, is_elsewhere: false, store };
        Ok(PlannedBuild { changed_media, open, opened_s, work, options: options.commit, run: None })
    }
}

impl PlannedBuild {
    /// A plan that was made before; `stores` reach what URLs of its pipeline name. As long as it exists, no other process can build the same output.
    ///
    /// # Errors
    ///
    /// Those of [`Build::open`], and [`EngineError::Plan`] if the directory holds no plan of this version.
    pub fn open(directory: &Path, options: CommitOptions, stores: &Stores) -> Result<Self, EngineError> {
        let plan = Plan::read(directory)?;
        let pipeline = plan.pipeline(stores);
        ensure_replaceable(&pipeline, StoreOutput::of(&pipeline)?.as_ref(), options)?;
        let work = WorkDirectory::lock(&plan.pipeline.output)?;
        let started = Instant::now();
        let open = OpenPlan::open(directory, stores)?;
        let opened_s = started.elapsed().as_secs_f64();
        Ok(Self { changed_media: Vec::new(), open, opened_s, work, options, run: None })
    }

    /// As [`Build::watch`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if what is rejected cannot be kept.
    pub fn watch(&mut self, in_flight: Arc<InFlight>, verdicts: &[Verdict]) -> Result<(), EngineError> {
        Ok(manyframe_plan::watch(&mut self.open.context, in_flight, verdicts)?)
    }

    /// The plan and its directory.
    pub fn open_plan(&self) -> &OpenPlan {
        &self.open
    }

    /// The sources whose media changed since their index was made.
    pub fn changed_media(&self) -> &[(String, ChangedMedia)] {
        &self.changed_media
    }

    /// How long its tasks take on this many threads, summed over all of them.
    pub fn time_estimate(&self, num_threads: usize) -> TimeEstimate {
        let num_bytes: u64 = self.open.plan.tasks.iter().map(|task| task.estimated_bytes).sum();
        let rate = self.work.rate();
        let seconds = (num_bytes as f64 / (rate.bytes_per_thread_second * num_threads as f64)).ceil();
        TimeEstimate { seconds, basis: rate.basis }
    }

    /// How long all of its tasks take on some machines, and what that rests on.
    pub fn forecast(&self, workers: Workers) -> (RunForecast, RateBasis) {
        /// A process is started, and loads its libraries.
        const PROCESS_S: f64 = 0.1;
        let Plan { tasks, pipeline, .. } = &self.open.plan;
        let num_samples: u64 = tasks.iter().map(|task| task.num_samples).sum();
        let rate = self.work.rate();
        let speeds = Speeds {
            bytes_per_core_second: rate.bytes_per_thread_second,
            read_per_byte: rate.read_per_byte,
            written_per_byte: pipeline.output.formats.len() as f64 * rate.made_per_estimated,
            start_s: PROCESS_S + self.opened_s,
            publish_s: num_samples as f64 * rate.publish_per_sample_s,
        };
        let task_bytes: Vec<u64> = tasks.iter().map(|task| task.estimated_bytes).collect();
        (forecast(&task_bytes, speeds, workers), rate.basis)
    }

    /// Runs the tasks that are not done. First logs a warning for each source that has less than the pipeline requests, or lost
    /// more than it allows: whoever sees it need not wait for the end.
    ///
    /// # Errors
    ///
    /// [`EngineError::NoModel`] or [`EngineError::Policy`] if the validation that the pipeline requests could not run; or else
    /// the first error of a task. Running again continues with the tasks that are not done.
    pub fn run(&mut self, engine: &dyn Engine, executor: Executor<'_>, meter: &dyn Meter) -> Result<(), EngineError> {
        ValidateRequest::of_pipeline(&self.open.plan.pipeline)?;
        self.warn_of_shortfalls();
        self.warn_of_licenses();
        self.warn_of_losses();
        let tasks = &self.open.plan.tasks;
        match &self.open.store {
            Some(store) => store.prepare(&self.open.directory, tasks.len() as u32)?,
            None => ensure_publishable(self.work.path(), self.open.plan.pipeline.output.location())?,
        }
        let unfinished = self.open.unfinished_tasks();
        self.warn_of_full_disk(&unfinished, executor.pool.current_num_threads())?;
        let is_unfinished = |task: u32| unfinished.binary_search(&task).is_ok();
        let num_done = tasks.iter().filter(|task| !is_unfinished(task.id)).map(|task| task.num_samples).sum();
        let estimated_bytes = tasks.iter().filter(|task| is_unfinished(task.id)).map(|task| task.estimated_bytes).sum();
        executor.progress.start(Step::Run, tasks.iter().map(|task| task.num_samples).sum());
        executor.progress.advance(num_done, num_done);
        let (started, read_before) = (meter.seconds(), meter.read_bytes());
        let result = if engine.shares_disk() {
            engine.run(&self.open, &unfinished, executor)
        } else {
            PlanAtStore::send(&self.open, &unfinished).and_then(|set| engine.run(&set, &unfinished, executor))
        };
        let seconds = meter.seconds() - started;
        let read_bytes = meter.read_bytes().zip(read_before).map(|(now, before)| now - before);
        if result.is_ok() {
            executor.progress.finish(Step::Run);
        }
        let thread_seconds = seconds * executor.pool.current_num_threads() as f64;
        let timed = TimedRun { estimated_bytes, thread_seconds, seconds, read_bytes };
        self.run = engine.works_on_executor().then_some(timed);
        result
    }

    /// Makes the dataset from the finished tasks, validates it if the pipeline requests that, publishes it at the
    /// pipeline's output, and removes the plan.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unfinished`] if tasks are not done, [`EngineError::Unaccounted`] if records are missing,
    /// [`EngineError::Losses`] if too many were rejected, [`EngineError::Invalid`] if the validation fails. Nothing is
    /// published then, and committing again is possible: no task is run again for it.
    pub fn commit(&self, on: ValidateOn<'_>) -> Result<BuildOutcome, EngineError> {
        let started = Instant::now();
        let (committed, validation) = self.open.commit_validated(self.options, on)?;
        if committed.work.num_samples_reused == 0 && validation.is_none() {
            self.keep_rate(&committed.manifest, started.elapsed().as_secs_f64())?;
        }
        let plans = self.work.plans()?;
        self.open.store.iter().try_for_each(|store| store.abandon(&plans))?;
        self.work.remove_plans()?;
        if self.open.store.is_none() {
            keep_digests(&committed, self.work.path())?;
        }
        let reuse = self.open.plan.reuse.clone();
        Ok(BuildOutcome { committed, action: BuildAction::Built, reuse, validation })
    }

    fn warn_of_losses(&self) {
        if self.options.accepts_rejects {
            return;
        }
        for (source, excess) in self.open.expected_losses() {
            tracing::warn!(source, "{excess}; the dataset will not be published without --accept-rejects");
        }
        if let Some(excess) = self.open.plan.excess_of_decontamination() {
            tracing::warn!("{excess}; the dataset will not be published without --accept-rejects");
        }
    }

    /// A short run says little about the speed of a long one.
    fn keep_rate(&self, manifest: &Manifest, publish_s: f64) -> Result<(), EngineError> {
        const LEAST_SECONDS: f64 = 2.0;
        match &self.run {
            Some(run) if run.seconds >= LEAST_SECONDS => {
                let made_bytes = run.estimated_bytes as f64;
                let read_per_byte = run.read_bytes.map(|bytes| bytes as f64 / made_bytes.max(1.0));
                let Plan { tasks, pipeline, .. } = &self.open.plan;
                let estimated: u64 = tasks.iter().map(|task| task.estimated_bytes).sum();
                let written: u64 = manifest.shards.iter().map(|shard| shard.num_bytes).sum();
                let made_per_estimated =
                    written as f64 / (estimated as f64 * pipeline.output.formats.len() as f64).max(1.0);
                self.work.write_rate(Rate {
                    bytes_per_thread_second: made_bytes / run.thread_seconds,
                    read_per_byte: read_per_byte.unwrap_or(ROUGH_READ_PER_BYTE),
                    made_per_estimated,
                    publish_per_sample_s: publish_s / manifest.total.num_samples.max(1) as f64,
                    basis: RateBasis::LastBuild,
                })
            }
            _ => Ok(()),
        }
    }

    /// Finished shards are linked into the dataset, not copied. The dataset that is replaced is removed last. Where shards are
    /// sent, a few are here at a time.
    fn warn_of_full_disk(&self, unfinished: &[u32], num_threads: usize) -> Result<(), EngineError> {
        const MIB: u64 = 1 << 20;
        let Plan { tasks, pipeline, .. } = &self.open.plan;
        let unfinished = tasks.iter().filter(|task| unfinished.binary_search(&task.id).is_ok());
        let mut sizes: Vec<u64> = unfinished.map(|task| task.estimated_bytes).collect();
        sizes.sort_unstable_by(|left, right| right.cmp(left));
        let most_shards = if self.open.store.is_some() { self.open.num_at_once(num_threads) } else { usize::MAX };
        // A shard in every format, and a journal until the shard is written.
        let shards_bytes = sizes.iter().take(most_shards).sum::<u64>() * pipeline.output.formats.len() as u64;
        let journals_bytes: u64 = sizes.iter().take(tasks_at_once(num_threads)).sum();
        let needed_mib = (shards_bytes + journals_bytes) / MIB;
        let free_mib = free_bytes(self.work.path())? / MIB;
        if needed_mib > free_mib {
            let directory = self.work.path().display();
            tracing::warn!(
                %directory, needed_mib, free_mib,
                "the disk is too small for the shards and what is kept of unfinished ones; their size is an estimate: about {needed_mib} MiB are needed, \
                 {free_mib} MiB are free; a build that fills the disk fails, and continues where it stopped once there is space"
            );
        }
        Ok(())
    }

    fn warn_of_licenses(&self) {
        for (budget, source) in self.open.plan.sources.iter().zip(&self.open.context.sources) {
            let summary = summary_before_run(budget, source);
            if let Some(license) = summary.stricter_than_stated() {
                let (name, stated) = (&budget.name, &summary.license);
                tracing::warn!(source = %name, stated, "the dataset that is replayed has samples under {license:?}, which asks for more");
            }
        }
    }

    fn warn_of_shortfalls(&self) {
        for source in &self.open.plan.sources {
            let asked = &source.asked;
            if asked.difference == Difference::Exhausted {
                let (unit, amount) = (asked.unit.as_str(), asked.amount.round());
                let drawn = asked.drawn;
                let name = &source.name;
                tracing::warn!(source = %name, asked = amount, drawn, unit, "the source has fewer {unit} than requested");
            }
        }
    }
}

impl OpenPlan {
    /// What its sources lack beyond what the pipeline file allows, as far as the plan knows: the name of each, and how.
    pub fn expected_losses(&self) -> impl Iterator<Item = (&str, Excess)> {
        let sources = self.plan.sources.iter().zip(&self.plan.pipeline.source);
        sources.filter_map(|(budget, table)| {
            let excess = budget.excess(budget.drawn.num_samples, table.max_rejects().as_f64())?;
            Some((budget.name.as_str(), excess))
        })
    }
}

/// Commits a plan that some engine has run, as [`PlannedBuild::commit`] does, but removes nothing.
///
/// # Errors
///
/// Those of [`PlannedBuild::commit`].
pub fn commit_plan(open: &OpenPlan, options: CommitOptions, on: ValidateOn<'_>) -> Result<BuildOutcome, EngineError> {
    // Workers on machines that share no disk leave their reports at the store.
    open.store.iter().try_for_each(|store| store.gather(&open.directory))?;
    let (committed, validation) = open.commit_validated(options, on)?;
    if open.store.is_none() {
        keep_digests(&committed, parent_directory(&open.directory))?;
    }
    let reuse = open.plan.reuse.clone();
    Ok(BuildOutcome { committed, action: BuildAction::Built, reuse, validation })
}

impl OpenPlan {
    /// Makes the dataset of a finished plan, and publishes it once the validation that is requested has passed.
    fn commit_validated(
        &self,
        options: CommitOptions,
        on: ValidateOn<'_>,
    ) -> Result<(Committed, Option<Report>), EngineError> {
        let request = ValidateRequest::of_pipeline(&self.plan.pipeline)?;
        // The samples to measure are in a directory of this machine.
        let on = if on.engine.shares_disk() { on } else { ValidateOn { engine: &LocalEngine, ..on } };
        let mut report = None;
        let check = |staged: &DatasetReader| {
            if let Some(request) = request {
                report = Some(validate_staged(staged, &request, on)?);
            }
            Ok(())
        };
        let committed = commit(self, options, on.executor, check)?;
        Ok((committed, report))
    }
}
