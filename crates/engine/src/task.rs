//! A task: some samples in, one shard per format and a report out.
//!
//! **Invariant:** a task is idempotent and atomic. It may run twice, at once or on another machine; its files appear whole or
//! not at all, with the same bytes each time, and its report appears last.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use manyframe_base::files::{publish_file, temporary_beside};
use manyframe_base::{Executor, FileError, write_json};
use manyframe_core::{Cost, Digest, Layout, RecordId, RecordIndex, Rejection, Sample};
use manyframe_plan::{PlannedSample, TaskHeader, read_task};
use manyframe_shards::{ShardFormat, ShardWriter};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::open_plan::OpenPlan;
use crate::{built, sample};

/// What a task did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub id: u32,
    /// The layout of its samples; `None` if they are mixed.
    pub layout: Option<Layout>,
    /// Its shards; empty if no sample could be delivered.
    pub shards: Vec<ShardReport>,
    /// What became of each of its records, in the order of the task.
    pub outcomes: Vec<RecordOutcome>,
    /// Samples that were taken over from an earlier build.
    pub num_reused: u64,
}

/// A shard that a task wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardReport {
    /// Its format.
    pub format: ShardFormat,
    /// Number of samples.
    pub num_samples: u64,
    /// Size in bytes.
    pub num_bytes: u64,
    /// Digest of the file.
    pub digest: Digest,
}

/// What became of a drawn record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordOutcome {
    /// Position of the record in the plan's `records.parquet`.
    pub record: RecordIndex,
    /// How many times the record is delivered before: 0 is the first.
    pub repetition: u32,
    /// The identity of the sample.
    pub id: RecordId,
    /// Its place in the order of delivery, from 0.
    pub place: u64,
    /// What became of it.
    pub result: OutcomeResult,
}

/// Delivered or rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It is in the task's shards.
    Delivered {
        /// Its exact cost, which is less than planned if frames turned out not to exist.
        cost: Cost,
        /// Its layout.
        layout: Layout,
    },
    /// Decoding told that it cannot be delivered.
    Rejected(Rejection),
}

/// The report of a task that is done.
pub(crate) fn read_report(directory: &Path, task: u32) -> Result<Option<TaskReport>, EngineError> {
    let path = report_path(directory, task);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(FileError::read(&path))?;
    let damaged = |error: serde_json::Error| EngineError::Damaged { path, detail: error.to_string() };
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

/// Runs a task, unless it is done already; returns its report.
///
/// # Errors
///
/// [`EngineError::NoSuchTask`] for a number that the plan does not have, [`EngineError::SourceChanged`] if a record is not
/// where the plan saw it, and failing storage. A record that cannot be delivered is no error: the report says why.
pub fn run_task(open: &OpenPlan, task: u32, executor: Executor<'_>) -> Result<TaskReport, EngineError> {
    let OpenPlan { context, plan, directory } = open;
    let progress = executor.progress;
    let last = plan.tasks.len().saturating_sub(1) as u32;
    let header = plan.tasks.get(task as usize).ok_or(EngineError::NoSuchTask { task, last })?;
    if let Some(report) = read_report(directory, task)? {
        progress.advance(header.num_samples, header.num_samples);
        return Ok(report);
    }
    let mut shards = OpenShards::create(directory, header, &plan.pipeline.output.formats)?;
    let mut outcomes = Vec::new();
    let mut num_reused = 0;
    let samples = read_task(directory, task)?.into_iter().map(Ok);
    let make = |planned: PlannedSample| {
        let reused = built::read(context, &planned);
        let is_reused = reused.is_some();
        let outcome = reused.map_or_else(|| sample::make(context, &planned), |sample| Ok(Ok(sample)));
        (outcome, is_reused, planned)
    };
    executor.ordered_map(4).run(samples, make, |(outcome, is_reused, planned)| {
        let (record, repetition, id) = (planned.record, planned.repetition, planned.id());
        let result = match outcome? {
            Ok(sample) => {
                shards.write(&sample)?;
                num_reused += u64::from(is_reused);
                if sample.cost != planned.cost {
                    tracing::debug!(%id, planned = ?planned.cost, found = ?sample.cost, "cost differs");
                }
                OutcomeResult::Delivered { cost: sample.cost, layout: sample.layout }
            }
            Err(rejection) => OutcomeResult::Rejected(rejection),
        };
        outcomes.push(RecordOutcome { record, repetition, id, place: planned.position, result });
        progress.advance(1, 1);
        Ok::<_, EngineError>(())
    })?;
    let shards = shards.finish()?;
    let report = TaskReport { id: task, layout: header.layout, shards, outcomes, num_reused };
    write_json(&report_path(directory, task), &report)?;
    tracing::debug!(task, num_samples = report.outcomes.len(), "task finished");
    Ok(report)
}

/// Whether a task has a report.
pub(crate) fn is_done(directory: &Path, task: u32) -> bool {
    report_path(directory, task).exists()
}

/// Where the report of a task is: its presence says that the task is done.
fn report_path(directory: &Path, task: u32) -> PathBuf {
    directory.join("done").join(format!("{task:06}.json"))
}

/// Where the shard of a task is until it is committed.
pub(crate) fn shard_path(directory: &Path, task: u32, format: ShardFormat) -> PathBuf {
    directory.join("shards").join(format!("{task:06}.{}", format.extension()))
}

/// The shards of a task while they are written, one per format.
struct OpenShards {
    shards: Vec<OpenShard>,
    num_samples: u64,
}

struct OpenShard {
    format: ShardFormat,
    path: PathBuf,
    temporary: PathBuf,
    writer: Box<dyn ShardWriter>,
}

impl OpenShards {
    fn create(directory: &Path, header: &TaskHeader, formats: &[ShardFormat]) -> Result<Self, EngineError> {
        let open = |&format: &ShardFormat| {
            let path = shard_path(directory, header.id, format);
            let temporary = temporary_beside(&path)?;
            let file = File::create(&temporary).map_err(FileError::write(&temporary))?;
            let sink: Box<dyn Write + Send> = Box::new(BufWriter::with_capacity(1 << 20, file));
            let writer = manyframe_shards::create(format, sink)
                .map_err(|error| EngineError::Shard { path: temporary.clone(), error })?;
            Ok(OpenShard { format, path, temporary, writer })
        };
        Ok(Self { shards: formats.iter().map(open).collect::<Result<_, EngineError>>()?, num_samples: 0 })
    }

    fn write(&mut self, sample: &Sample) -> Result<(), EngineError> {
        self.num_samples += 1;
        self.shards.iter_mut().try_for_each(|shard| {
            shard.writer.write(sample).map_err(|error| EngineError::Shard { path: shard.temporary.clone(), error })
        })
    }

    fn finish(self) -> Result<Vec<ShardReport>, EngineError> {
        let is_empty = self.num_samples == 0;
        let mut reports = Vec::new();
        for shard in self.shards {
            let OpenShard { format, path, temporary, writer } = shard;
            let summary = writer.finish().map_err(|error| EngineError::Shard { path: temporary.clone(), error })?;
            if is_empty {
                // Readers stumble over shards without samples.
                fs::remove_file(&temporary).map_err(FileError::write(&temporary))?;
                continue;
            }
            publish_file(&temporary, &path)?;
            let (num_samples, num_bytes, digest) = (summary.num_samples, summary.num_bytes, summary.digest);
            reports.push(ShardReport { format, num_samples, num_bytes, digest });
        }
        Ok(reports)
    }
}
