//! What a task leaves in the directory of its plan, and how it is found there.
//!
//! ```text
//! PLAN/shards/NNNNNN.EXT   the samples of task NNNNNN, one file per format
//! PLAN/done/NNNNNN.json    its report, written last: a task is done if its report exists
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::FileError;
use manyframe_core::{Cost, Digest, Layout, RecordId, RecordIndex, Rejection, Total};
use manyframe_shards::ShardFormat;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// What a task did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub id: u32,
    /// The layout of its samples; `None` if they are mixed.
    pub layout: Option<Layout>,
    /// Its shards; empty if no sample could be delivered.
    pub shards: Vec<ShardReport>,
    /// What happened to each of its records, in the order of the task.
    pub outcomes: Vec<RecordOutcome>,
    /// Samples that were reused from the dataset that the build replaces.
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

/// What happened to a drawn record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordOutcome {
    /// Position of the record in the plan's `records.parquet`.
    pub record: RecordIndex,
    /// How many earlier deliveries the record has: 0 for the first.
    pub repetition: u32,
    /// The identity of the sample.
    pub id: RecordId,
    /// Its position in the order of delivery, from 0.
    pub position: u64,
    /// What happened to it.
    pub result: OutcomeResult,
}

/// Delivered or rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It is in the task's shards.
    Delivered {
        /// Its exact cost: less than planned if a video has fewer frames than its index says.
        cost: Cost,
        /// Its layout.
        layout: Layout,
    },
    /// It turned out while decoding that it cannot be delivered.
    Rejected(Rejection),
}

impl TaskReport {
    /// Reads the report of a task; `None` if the task is not done.
    pub(crate) fn read(plan: &Path, task: u32) -> Result<Option<Self>, EngineError> {
        let path = report_path(plan, task);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path).map_err(FileError::read(&path))?;
        let damaged = |error: serde_json::Error| EngineError::Damaged { path, detail: error.to_string() };
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Samples that were delivered, and their cost.
    pub fn delivered(&self) -> Total {
        let mut total = Total::default();
        for outcome in &self.outcomes {
            if let OutcomeResult::Delivered { cost, .. } = &outcome.result {
                total.count(*cost);
            }
        }
        total
    }
}

/// Whether a task has a report.
pub(crate) fn is_done(plan: &Path, task: u32) -> bool {
    report_path(plan, task).exists()
}

/// Where the report of a task is.
pub(crate) fn report_path(plan: &Path, task: u32) -> PathBuf {
    plan.join("done").join(format!("{task:06}.json"))
}

/// Where the shard of a task is until it is committed.
pub(crate) fn shard_path(plan: &Path, task: u32, format: ShardFormat) -> PathBuf {
    plan.join("shards").join(format!("{task:06}.{}", format.extension()))
}
