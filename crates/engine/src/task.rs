//! Runs one task: some samples in, one shard per format and a report out. Where the dataset goes to an object store, the task
//! sends its shards, too.
//!
//! **Invariant:** a task is idempotent and atomic. It may run twice, at the same time or on another machine; its files appear
//! whole or not at all, with the same bytes each time, and its report appears last.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use manyframe_base::files::{publish_file, temporary_beside};
use manyframe_base::{Executor, FileAction, FileError, OrderedMap, SteadyFile};
use manyframe_core::{HandledImages, HandledVideos, RejectCode, Sample, describe_videos};
use manyframe_plan::{Context, Journal, PlannedSample, TaskHeader, read_task};
use manyframe_shards::{SampleColumns, ShardError, ShardFormat, ShardWriter, WrittenShard};
use manyframe_transfer::TransferError;
use serde_json::Value;

use crate::engine::{TaskSet, tasks_at_once};
use crate::error::EngineError;
use crate::open_plan::OpenPlan;
use crate::report::{OutcomeResult, RecordOutcome, ShardReport, TaskReport, find_report, remove_report, shard_path};
use crate::reuse;
use crate::sample::{self, Made, Outcome};
use crate::store_output::TASKS_SENT_AT_ONCE;

/// Samples for each thread that may be waiting to be written, of all tasks that are made at the same time.
const SAMPLES_PER_THREAD: usize = 8;

/// Runs a task, unless it is done already; returns its report.
///
/// # Errors
///
/// [`EngineError::NoSuchTask`] for a number that the plan does not have, [`EngineError::SourceChanged`] if a record is not
/// where the plan found it, [`EngineError::MediumNotHere`] if a medium is missing on a machine that may not be the one that
/// planned, and failing storage. A record that cannot be delivered is not an error: the report says why.
pub fn run_task(open: &OpenPlan, task: u32, executor: Executor<'_>) -> Result<TaskReport, EngineError> {
    let OpenPlan { plan, directory, store, .. } = open;
    let last = plan.tasks.len().saturating_sub(1) as u32;
    let header = plan.tasks.get(task as usize).ok_or(EngineError::NoSuchTask { task, last })?;
    let report = match find_report(directory, task)? {
        Some(found) if found.is_here || open.is_done(&found) => {
            executor.progress.advance(header.num_samples, header.num_samples);
            if open.is_done(&found) {
                return Ok(found.report);
            }
            // It was interrupted while it sent them.
            found.report
        }
        _ => {
            let most = tasks_at_once(executor.pool.current_num_threads());
            let _slot = store.as_ref().map(|store| store.making.enter(most));
            make(open, header, executor)?
        }
    };
    let report = match store {
        None => report,
        Some(store) => match store.send(directory, &report) {
            Err(EngineError::Transfer(TransferError::Damaged { path, .. })) => {
                tracing::warn!(path = %path.display(), "a shard was damaged here before it was sent; its task is done again");
                remove_report(directory, task)?;
                let report = make(open, header, executor)?;
                store.send(directory, &report)?;
                report
            }
            sent => sent.map(|()| report)?,
        },
    };
    tracing::debug!(task, num_samples = report.outcomes.len(), "task finished");
    Ok(report)
}

/// Makes the samples of a task; its shards are in the directory of the plan then.
fn make(open: &OpenPlan, header: &TaskHeader, executor: Executor<'_>) -> Result<TaskReport, EngineError> {
    let OpenPlan { context, plan, directory, is_elsewhere, .. } = open;
    let task = header.id;
    let (formats, columns) = (&plan.pipeline.output.formats, plan.pipeline.sample_columns());
    let shards = formats.iter().map(|&format| OpenShard::create(shard_path(directory, task, format), format, columns));
    let mut shards = shards.collect::<Result<Vec<_>, _>>()?;
    let mut report = TaskReport {
        id: task,
        layout: header.layout,
        shards: Vec::new(),
        outcomes: Vec::new(),
        num_reused: 0,
        images: HandledImages::default(),
        videos: HandledVideos::default(),
    };
    let samples = read_task(directory, task)?.into_iter().map(Ok);
    let journal = Journal::open(&directory.join("journal"), &format!("{task:06}"));
    let make = |planned: PlannedSample| MadeSample::new(context, planned, &journal);
    let num_threads = executor.pool.current_num_threads();
    let window = SAMPLES_PER_THREAD * num_threads / tasks_at_once(num_threads);
    OrderedMap { pool: executor.pool, window }.run(samples, make, |made| {
        let MadeSample { planned, outcome, is_reused, made_in } = made;
        let written_from = Instant::now();
        let (record, repetition, id, position) = (planned.record, planned.repetition, planned.id(), planned.position);
        let result = match outcome? {
            Ok(Made { sample, handled, damage }) => {
                report.images += handled;
                let videos = context.delivers_clips().then(|| describe_videos(&sample.visuals)).flatten();
                if context.delivers_clips() && !is_reused {
                    report.videos += HandledVideos::of(&sample.visuals);
                }
                shards.iter_mut().try_for_each(|shard| shard.write(&sample))?;
                report.num_reused += u64::from(is_reused);
                if sample.cost != planned.cost {
                    tracing::debug!(%id, planned = ?planned.cost, actual = ?sample.cost, "cost differs");
                }
                let (cost, layout, tokens_per_visual) = (sample.cost, sample.layout, sample.tokens_per_visual());
                OutcomeResult::Delivered { cost, layout, tokens_per_visual, damage, videos }
            }
            Err(rejection) if *is_elsewhere && rejection.code == RejectCode::MediaMissing => {
                return Err(EngineError::MediumNotHere { id: id.to_string(), detail: rejection.detail });
            }
            Err(rejection) => OutcomeResult::Rejected(rejection),
        };
        // `tests/bench/cores.py` computes from these how long a build takes on more cores.
        let (made_us, written_us) = (made_in.as_micros() as u64, written_from.elapsed().as_micros() as u64);
        tracing::debug!(task, made_us, written_us, "sample written");
        report.outcomes.push(RecordOutcome { record, repetition, id, position, result });
        executor.progress.advance(1, 1);
        Ok::<_, EngineError>(())
    })?;
    let finished_from = Instant::now();
    for shard in shards {
        report.shards.extend(shard.finish()?);
    }
    tracing::debug!(task, finished_us = finished_from.elapsed().as_micros() as u64, "shards finished");
    let report = report.write(directory)?;
    journal.remove();
    Ok(report)
}

impl TaskSet for OpenPlan {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn num_tasks(&self) -> u32 {
        self.plan.tasks.len() as u32
    }

    fn size(&self, task: u32) -> u64 {
        self.plan.tasks.get(task as usize).map_or(0, |task| task.num_samples)
    }

    fn num_records(&self, task: u32) -> u64 {
        self.size(task)
    }

    fn is_done(&self, task: u32) -> bool {
        self.has_done(task)
    }

    fn num_at_once(&self, num_threads: usize) -> usize {
        tasks_at_once(num_threads) + if self.store.is_some() { TASKS_SENT_AT_ONCE } else { 0 }
    }

    fn run(&self, task: u32, executor: Executor<'_>) -> Result<Value, EngineError> {
        Ok(run_task(self, task, executor)?.summary())
    }
}

/// What happened to a planned sample, before it is written.
struct MadeSample {
    planned: PlannedSample,
    outcome: Result<Outcome, EngineError>,
    is_reused: bool,
    /// How long that took. Nothing but a log depends on it.
    made_in: Duration,
}

impl MadeSample {
    fn new(context: &Context, planned: PlannedSample, journal: &Journal) -> Self {
        let started = Instant::now();
        let (outcome, is_reused) = match reuse::read_sample(context, &planned) {
            Some(sample) => {
                let damage = planned.reused_from.as_ref().and_then(|reused| reused.damage.clone());
                let made = Made { sample, handled: HandledImages::default(), damage };
                (Ok(Ok(made)), true)
            }
            None => (sample::make(context, &planned, Some(journal)), false),
        };
        Self { planned, outcome, is_reused, made_in: started.elapsed() }
    }
}

/// A shard while it is written, under a temporary name.
struct OpenShard {
    format: ShardFormat,
    path: PathBuf,
    temporary: PathBuf,
    writer: Box<dyn ShardWriter>,
}

impl OpenShard {
    fn create(path: PathBuf, format: ShardFormat, columns: SampleColumns) -> Result<Self, EngineError> {
        let temporary = temporary_beside(&path)?;
        let file = File::create(&temporary).map_err(FileError::write(&temporary))?;
        let writer =
            manyframe_shards::create(format, Box::new(SteadyFile::new(file)), columns).map_err(in_shard(&temporary))?;
        Ok(Self { format, path, temporary, writer })
    }

    fn write(&mut self, sample: &Sample) -> Result<(), EngineError> {
        self.writer.write(sample).map_err(in_shard(&self.temporary))
    }

    /// Publishes the shard. One without samples is removed: many readers fail on such shards.
    fn finish(self) -> Result<Option<ShardReport>, EngineError> {
        let Self { format, path, temporary, writer } = self;
        let WrittenShard { summary, notes } = writer.finish().map_err(in_shard(&temporary))?;
        if summary.num_samples == 0 {
            fs::remove_file(&temporary).map_err(FileError::when(FileAction::Remove, &temporary))?;
            return Ok(None);
        }
        publish_file(&temporary, &path)?;
        let (num_samples, num_bytes, digest) = (summary.num_samples, summary.num_bytes, summary.digest);
        Ok(Some(ShardReport { format, num_samples, num_bytes, digest, notes }))
    }
}

fn in_shard(path: &Path) -> impl FnOnce(ShardError) -> EngineError {
    move |error| EngineError::Shard { path: path.to_owned(), error }
}
