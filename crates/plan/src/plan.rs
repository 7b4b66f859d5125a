//! A plan: every decision of a build, as plain data. Running it needs no further choice.
//!
//! ```text
//! plan-KEY/plan.json          settings, budgets, the list of tasks
//! plan-KEY/records.parquet    every record seen, and what was decided about it
//! plan-KEY/media.parquet      which version of its media each drawn record has
//! plan-KEY/tasks/000000.jsonl the samples of a task: where each record is, and what it should cost
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use manyframe_core::{Cost, Digest, Layout, Origin, RecordId, RecordIndex, SourceIndex, Total};
use manyframe_dataset::{DecontaminationExcess, DecontaminationSummary, PackSummary, SourceBudget};
use manyframe_pipeline::{Pipeline, PipelineFile};
use manyframe_samplers::sample_id;
use manyframe_samplers::sequence_parallel::SequenceLoad;
use manyframe_storage::Stores;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::packing::{PackSample, PackSamples, pack_samples};
use crate::reduction::LengthReduction;
use crate::reused::{ReusedSample, SourceReuse};

/// Raised whenever a plan of an older version cannot be run.
pub const PLAN_VERSION: u32 = 8;

/// Every decision of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`] of the program that made it.
    pub version: u32,
    /// Digest of the settings and inputs; equal for builds that produce the same bytes on this machine.
    pub key: Digest,
    /// Digest of the inputs alone; absent in plans of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Digest>,
    /// The pipeline file, with the paths of this machine.
    pub pipeline: PipelineFile,
    /// The pipeline file, with its paths as every machine writes them.
    pub portable: PipelineFile,
    /// The variables that paths begin with.
    pub variables: BTreeMap<String, String>,
    /// Digest of the tokenizer's file.
    pub tokenizer_digest: Digest,
    /// Digest of the chat template's file, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_digest: Option<Digest>,
    /// Number of annotation files, or of the parts that they are read in.
    pub num_splits: u64,
    /// How many of them were read; the index of the others was reused.
    pub num_splits_read: u64,
    /// The budget of each source, in the order of the pipeline file.
    pub sources: Vec<SourceBudget>,
    /// What no sample may show, if the pipeline file names any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decontamination: Option<DecontaminationSummary>,
    /// How the samples will be packed, if all media can be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackSummary>,
    /// What is reused of the dataset that is being replaced, and why the rest is made, in the order of the pipeline file.
    pub reuse: Vec<SourceReuse>,
    /// The tasks; each makes one shard per format.
    pub tasks: Vec<TaskHeader>,
}

/// A task without its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskHeader {
    /// Position in [`Plan::tasks`].
    pub id: u32,
    /// The layout of all of its samples; `None` if they are mixed.
    pub layout: Option<Layout>,
    /// Number of samples.
    pub num_samples: u64,
    /// Exact cost of all of them, if all media can be decoded.
    pub cost: Cost,
    /// Bytes of its shard, estimated from media headers.
    pub estimated_bytes: u64,
}

/// A sample to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedSample {
    /// Position in the order of delivery, from 0.
    pub position: u64,
    /// Position of its record in `records.parquet`.
    pub record: RecordIndex,
    /// Identity of its record.
    pub record_id: RecordId,
    /// How many times the record is delivered before: 0 is the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repetition: u32,
    /// Its source.
    pub source: SourceIndex,
    /// Where its record was read.
    pub origin: Origin,
    /// What it should cost.
    pub cost: Cost,
    /// How its record is shortened.
    #[serde(default, skip_serializing_if = "LengthReduction::is_none")]
    pub reduction: LengthReduction,
    /// The very same sample of the dataset that is being replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reused_from: Option<ReusedSample>,
}

impl PlannedSample {
    /// Identity; unique in the dataset.
    pub fn id(&self) -> RecordId {
        sample_id(self.record_id, self.repetition)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Plan {
    /// Reads the plan in a directory.
    ///
    /// # Errors
    ///
    /// If there is none that this version of manyframe can run.
    pub fn read(directory: &Path) -> Result<Self, PlanError> {
        let path = plan_path(directory);
        let text = std::fs::read(&path).map_err(|source| PlanError::Read { path: path.clone(), source })?;
        let plan: Self = serde_json::from_slice(&text).map_err(|error| PlanError::damaged(&path, error.to_string()))?;
        if plan.version == PLAN_VERSION {
            return Ok(plan);
        }
        let detail = format!("it has version {}, expected {PLAN_VERSION}", plan.version);
        Err(PlanError::damaged(&path, detail))
    }

    /// The pipeline that it was made from. `stores` reach what its URLs name.
    pub fn pipeline(&self, stores: &Stores) -> Pipeline {
        Pipeline {
            file: self.pipeline.clone(),
            portable: self.portable.clone(),
            variables: self.variables.clone(),
            stores: stores.clone(),
        }
    }

    /// How more of what no sample may show cannot be decoded than the pipeline file allows, if it cannot.
    pub fn excess_of_decontamination(&self) -> Option<DecontaminationExcess<'_>> {
        self.decontamination.as_ref()?.excess(self.pipeline.decontamination.max_rejects().as_f64())
    }

    /// All samples.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for source in &self.sources {
            total += source.drawn;
        }
        total
    }
}

/// Where the plan in a directory is.
pub fn plan_path(directory: &Path) -> PathBuf {
    directory.join("plan.json")
}

/// Where a task's samples are listed.
pub fn task_path(directory: &Path, task: u32) -> PathBuf {
    directory.join("tasks").join(format!("{task:06}.jsonl"))
}

/// Where every record and its decision are listed.
pub fn records_path(directory: &Path) -> PathBuf {
    directory.join("records.parquet")
}

/// The samples of a task, in order.
///
/// # Errors
///
/// If the list cannot be read, or this version of manyframe did not write it.
pub fn read_task(directory: &Path, task: u32) -> Result<Vec<PlannedSample>, PlanError> {
    let path = task_path(directory, task);
    let read_error = |source| PlanError::Read { path: path.clone(), source };
    let lines = BufReader::new(File::open(&path).map_err(read_error)?).lines();
    let sample = |line: std::io::Result<String>| {
        serde_json::from_str(&line.map_err(read_error)?).map_err(|error| PlanError::damaged(&path, error.to_string()))
    };
    lines.map(sample).collect()
}

/// The training sequences of a plan, in order: its packs, or its samples if they are not packed.
///
/// # Errors
///
/// As [`read_task`].
pub fn read_sequences(plan: &Plan, directory: &Path) -> Result<Vec<SequenceLoad>, PlanError> {
    let mut planned = Vec::new();
    for task in &plan.tasks {
        let samples = read_task(directory, task.id)?;
        planned.extend(samples.into_iter().map(|sample| (sample.position, sample.source, sample.cost)));
    }
    planned.sort_unstable_by_key(|(position, ..)| *position);
    let sample = |(_, source, cost): &(u64, SourceIndex, Cost)| PackSample::new(*source, cost, 0);
    let samples: PackSamples = planned.iter().map(sample).collect();
    if plan.pipeline.pack.is_none() {
        return Ok(samples.lengths().iter().copied().map(SequenceLoad::from).collect());
    }
    let packing = pack_samples(&plan.pipeline, samples, None)?;
    Ok(packing.iter().flat_map(|packing| packing.packs.iter().map(|pack| packing.load(pack))).collect())
}
