//! A plan: every decision of a build, as plain data. Running it needs no further choice.
//!
//! ```text
//! plan-KEY/plan.json          settings, budgets, the list of tasks
//! plan-KEY/records.parquet    every record seen, and what was decided about it
//! plan-KEY/tasks/000000.jsonl the samples of a task: where each record stands, and what it should cost
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use manyframe_core::{Cost, Digest, Layout, Origin, RecordId, RejectCode};
use serde::{Deserialize, Serialize};

use crate::PlanError;
use crate::pipeline::{Pipeline, PipelineFile, Take};

/// Raised whenever a plan of an older version cannot be run.
pub const PLAN_VERSION: u32 = 1;

/// Every decision of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`] of the program that made it.
    pub version: u32,
    /// Digest of the settings and inputs; equal for builds that give the same bytes on this machine.
    pub key: Digest,
    /// The pipeline file.
    pub pipeline: PipelineFile,
    /// The variables of the pipeline file and their values.
    pub variables: BTreeMap<String, String>,
    /// Digest of the tokenizer's file.
    pub tokenizer_digest: Digest,
    /// What each source gives, in the order of the pipeline file.
    pub sources: Vec<SourceBudget>,
    /// The tasks; each makes one shard per format.
    pub tasks: Vec<TaskHeader>,
}

/// What a source gives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceBudget {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Records seen.
    pub num_seen: u64,
    /// Records rejected before the draw, by reason; `too_long` and `filtered` included.
    pub rejected: BTreeMap<RejectCode, u64>,
    /// Records left out as duplicates.
    pub num_duplicates: u64,
    /// Records that could be drawn.
    pub num_available: u64,
    /// How many the pipeline file asks for.
    pub asked: Take,
    /// How many are drawn.
    pub num_drawn: u64,
    /// Exact cost of those that are drawn.
    pub cost: Cost,
    /// Bytes they take in shards, roughly.
    pub estimated_bytes: u64,
}

impl SourceBudget {
    /// Records rejected before the draw.
    pub fn num_rejected(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// A task without its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskHeader {
    /// Position in [`Plan::tasks`].
    pub id: u32,
    /// The layout of all of its samples; `None` if they are mixed.
    pub layout: Option<Layout>,
    /// Number of samples.
    pub num_samples: u64,
    /// Exact cost of all of them, if nothing turns out to be undecodable.
    pub cost: Cost,
    /// Bytes of its shard, roughly.
    pub estimated_bytes: u64,
}

/// A sample to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedSample {
    /// Position of its record in `records.parquet`.
    pub record: u64,
    /// Identity; unique in the plan.
    pub id: RecordId,
    /// Position of its source.
    pub source: u32,
    /// Where its record stands.
    pub origin: Origin,
    /// What it should cost.
    pub cost: Cost,
}

impl Plan {
    /// Reads the plan in a directory.
    pub fn read(directory: &Path) -> Result<Self, PlanError> {
        let path = directory.join("plan.json");
        let text = std::fs::read(&path).map_err(|source| PlanError::Read { path: path.clone(), source })?;
        let plan: Self = serde_json::from_slice(&text)
            .map_err(|error| PlanError::Damaged { path: path.clone(), detail: error.to_string() })?;
        if plan.version == PLAN_VERSION {
            return Ok(plan);
        }
        let detail = format!("it has version {}, expected {PLAN_VERSION}", plan.version);
        Err(PlanError::Damaged { path, detail })
    }

    /// The pipeline as it was checked.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline { file: self.pipeline.clone(), variables: self.variables.clone() }
    }

    /// Cost of all drawn records.
    pub fn cost(&self) -> Cost {
        let mut total = Cost::default();
        self.sources.iter().for_each(|source| total += source.cost);
        total
    }
}

/// Where a task's samples are listed.
pub(crate) fn task_path(directory: &Path, task: u32) -> PathBuf {
    directory.join("tasks").join(format!("{task:06}.jsonl"))
}

/// Where every record and its decision are listed.
pub fn records_path(directory: &Path) -> PathBuf {
    directory.join("records.parquet")
}

/// The samples of a task, in order.
pub fn read_task(directory: &Path, task: u32) -> Result<Vec<PlannedSample>, PlanError> {
    let path = task_path(directory, task);
    let read_error = |source| PlanError::Read { path: path.clone(), source };
    let lines = BufReader::new(File::open(&path).map_err(read_error)?).lines();
    lines
        .map(|line| {
            let line = line.map_err(read_error)?;
            let damaged =
                |error: serde_json::Error| PlanError::Damaged { path: path.clone(), detail: error.to_string() };
            serde_json::from_str(&line).map_err(damaged)
        })
        .collect()
}
