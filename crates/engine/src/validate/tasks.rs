//! The samples of a validation as tasks, so that machines with GPUs run the model.
//!
//! ```text
//! DIRECTORY/validate.json       dataset and model, which samples are run and how
//! DIRECTORY/done/NNNNNN.json    what was measured of the samples of a batch
//! ```
//!
//! A task is a batch. A process opens the model once, for all of its tasks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use manyframe_base::{Executor, write_json};
use manyframe_core::{DeviceChoice, Digest};
use manyframe_dataset::DatasetReader;
use manyframe_pipeline::absolute_path;
use manyframe_validate::OpenModel;
use manyframe_validate::measure::{
    Footprint, Meter, ModelFacts, RunOptions, RunUsage, SampleChoice, SampleMeasure, SampleSource, ValidationRun,
    batches,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{Engine, TaskSet, WorkerMachine};
use crate::error::EngineError;
use crate::orders::{read_found, read_order, write_order};
use crate::report::report_path;
use crate::validate::request::{Measured, ValidateRequest, choose_samples, open_model};
use crate::validate::samples::DatasetSamples;

/// The tasks as plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ValidateOrder {
    /// The program that wrote it: another one could measure something else.
    manyframe_version: String,
    /// As the model, by a path that is the same in every working directory.
    dataset: PathBuf,
    /// Shards of a dataset that is not published yet which are at a store, by their paths in the dataset.
    elsewhere: BTreeMap<String, PathBuf>,
    manifest: Digest,
    model: PathBuf,
    choice: SampleChoice,
    seed: u64,
    device: DeviceChoice,
    options: RunOptions,
    /// Replace the variables of the dataset's build.
    variables: BTreeMap<String, String>,
}

/// What was measured of a batch.
#[derive(Debug, Serialize, Deserialize)]
struct TaskMeasures {
    model: ModelFacts,
    footprint: Footprint,
    usage: RunUsage,
    measures: Vec<SampleMeasure>,
}

/// Samples to be run through a model.
pub struct ValidateTasks<'a> {
    directory: PathBuf,
    order: ValidateOrder,
    dataset: DatasetReader,
    samples: DatasetSamples,
    batches: Vec<Range<usize>>,
    /// Opened with the first task: who only hands tasks out needs no model.
    model: Mutex<Option<OpenModel>>,
    meter: &'a dyn Meter,
}

/// The file of the order.
const ORDER_FILE: &str = "validate.json";

/// Whether a directory holds such tasks.
pub(crate) fn holds_validate_tasks(directory: &Path) -> bool {
    directory.join(ORDER_FILE).is_file()
}

impl ValidateOrder {
    fn of(dataset: &DatasetReader, request: &ValidateRequest) -> Self {
        Self {
            manyframe_version: env!("CARGO_PKG_VERSION").to_owned(),
            dataset: absolute_path(dataset.location()),
            elsewhere: dataset.elsewhere().clone(),
            manifest: dataset.manifest_digest(),
            model: absolute_path(&request.model),
            choice: request.choice,
            seed: request.seed,
            device: request.device,
            options: request.options,
            variables: request.variables.clone(),
        }
    }
}

impl<'a> ValidateTasks<'a> {
    /// Writes the tasks of a validation, unless they are there.
    pub(super) fn create(
        directory: &Path,
        (dataset, request): (&DatasetReader, &ValidateRequest),
        meter: &'a dyn Meter,
    ) -> Result<Self, EngineError> {
        let order = ValidateOrder::of(dataset, request);
        write_order(directory, ORDER_FILE, &order)?;
        Self::of(directory, order, dataset.clone(), meter)
    }

    /// Reads what a validation wrote, and opens the dataset.
    pub(crate) fn open(directory: &Path, machine: WorkerMachine<'a>) -> Result<Self, EngineError> {
        let mut order = read_order::<ValidateOrder>(&directory.join(ORDER_FILE))?;
        let dataset = if order.elsewhere.is_empty() {
            DatasetReader::open_at(&order.dataset, machine.stores)?
        } else {
            DatasetReader::open_staged(&order.dataset, order.elsewhere.clone(), machine.stores.access())?
        };
        if order.manifest != dataset.manifest_digest() || order.manyframe_version != env!("CARGO_PKG_VERSION") {
            return Err(EngineError::OtherDataset { path: order.dataset });
        }
        order.variables.extend(machine.variables.clone());
        Self::of(directory, order, dataset, machine.meter)
    }

    fn of(
        directory: &Path,
        order: ValidateOrder,
        dataset: DatasetReader,
        meter: &'a dyn Meter,
    ) -> Result<Self, EngineError> {
        let chosen = choose_samples(&dataset, order.choice, order.seed)?;
        let samples = DatasetSamples::open(&dataset, &chosen, &order.variables)?;
        let batches = batches(samples.lengths(), order.options.batch_tokens);
        let directory = directory.to_owned();
        Ok(Self { directory, order, dataset, samples, batches, model: Mutex::new(None), meter })
    }

    /// Runs the tasks that are not done, and puts together what they measured.
    pub(super) fn run_on(&self, engine: &dyn Engine, executor: Executor<'_>) -> Result<Measured, EngineError> {
        let (done, unfinished): (Vec<u32>, Vec<u32>) = (0..self.num_tasks()).partition(|task| self.is_done(*task));
        for task in done {
            executor.progress.advance(self.num_records(task), self.size(task));
        }
        engine.run(self, &unfinished, executor)?;
        let mut together: Option<Measured> = None;
        for task in 0..self.num_tasks() {
            let TaskMeasures { model, footprint, usage, measures } = self.measured(task)?;
            let Some(together) = &mut together else {
                together = Some(Measured { model, footprint, usage, measures });
                continue;
            };
            if together.model != model {
                return Err(self.different_models(&together.model, &model));
            }
            together.usage += usage;
            together.measures.extend(measures);
        }
        if let Some(together) = together {
            return Ok(together);
        }
        // A dataset without samples.
        let OpenModel { facts, footprint, .. } = self.open_model()?;
        Ok(Measured { model: facts, footprint, usage: RunUsage::default(), measures: Vec::new() })
    }

    fn open_model(&self) -> Result<OpenModel, EngineError> {
        open_model(&self.dataset, &self.order.model, self.order.device)
    }

    fn different_models(&self, one: &ModelFacts, other: &ModelFacts) -> EngineError {
        let text = |facts: &ModelFacts| format!("{} in {} on {}", facts.digest, facts.dtype, facts.device);
        let path = self.order.model.clone();
        EngineError::DifferentModels { path, one: text(one), other: text(other) }
    }

    fn measured(&self, task: u32) -> Result<TaskMeasures, EngineError> {
        read_found(&self.directory, task)
    }

    fn batch(&self, task: u32) -> Option<Range<usize>> {
        self.batches.get(task as usize).cloned()
    }
}

impl TaskSet for ValidateTasks<'_> {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn num_tasks(&self) -> u32 {
        self.batches.len() as u32
    }

    fn size(&self, task: u32) -> u64 {
        self.batch(task).map_or(0, |batch| batch.len() as u64)
    }

    fn num_records(&self, task: u32) -> u64 {
        self.size(task)
    }

    fn is_done(&self, task: u32) -> bool {
        self.measured(task).is_ok()
    }

    /// A model takes all threads, or the GPU.
    fn num_at_once(&self, _num_threads: usize) -> usize {
        1
    }

    fn runs_model(&self) -> bool {
        true
    }

    fn run(&self, task: u32, executor: Executor<'_>) -> Result<Value, EngineError> {
        let last = self.num_tasks().saturating_sub(1);
        let batch = self.batch(task).ok_or(EngineError::NoSuchTask { task, last })?;
        if !self.is_done(task) {
            let mut guard = self.model.lock().unwrap_or_else(PoisonError::into_inner);
            let model: &mut Option<OpenModel> = &mut guard;
            let done = executor.pool.install(|| {
                let open = match model {
                    Some(open) => open,
                    none => none.insert(self.open_model()?),
                };
                let (options, meter) = (self.order.options, self.meter);
                let run = ValidationRun { model: &open.model, samples: &self.samples, options, meter };
                let (measures, usage) = run.run_batch(batch)?;
                let (model, footprint) = (open.facts.clone(), open.footprint);
                Ok::<_, EngineError>(TaskMeasures { model, footprint, usage, measures })
            })?;
            write_json(&report_path(&self.directory, task), &done)?;
        }
        executor.progress.advance(self.num_records(task), self.size(task));
        Ok(serde_json::json!({ "task": task, "num_samples": self.size(task) }))
    }
}
