//! Runs a model over samples of a dataset, and writes what it measured beside the shards.
//!
//! What is measured, and what it means, is the business of `manyframe-validate`; here samples are found and read.

mod samples;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::files::{publish_file, temporary_beside};
use manyframe_base::{Executor, FileError, Step, write_json};
use manyframe_core::Digest;
use manyframe_validate::measure::{
    Choice, Meter, ModelFacts, Policy, Report, Run, RunOptions, SampleMeasure, choose, write_table,
};
use manyframe_validate::{DeviceChoice, OpenModel};

use crate::EngineError;
use crate::manifest::Manifest;
use samples::DatasetSamples;

/// What is to be validated, and how.
#[derive(Debug, Clone)]
pub struct ValidateRequest {
    /// The dataset's directory.
    pub dataset: PathBuf,
    /// The model's directory.
    pub model: PathBuf,
    /// How many samples are run.
    pub choice: Choice,
    /// Which samples are run.
    pub seed: u64,
    /// Where the model runs.
    pub device: DeviceChoice,
    /// How samples are run.
    pub options: RunOptions,
    /// What follows from the measures.
    pub policy: Policy,
    /// Where variables of the pipeline file are on this machine, if the dataset was built on another.
    pub variables: BTreeMap<String, String>,
}

/// A validation that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated {
    /// What was measured of all samples together.
    pub report: Report,
    /// `validation.json`.
    pub report_path: PathBuf,
    /// `validation.parquet`.
    pub table_path: PathBuf,
}

/// Runs samples of a dataset through a model, and writes `validation.parquet` and `validation.json` into its directory.
///
/// A run that was cut off goes on where it stopped, if dataset, model, samples and options are the same.
pub fn validate(
    request: &ValidateRequest,
    meter: &dyn Meter,
    executor: Executor<'_>,
) -> Result<Validated, EngineError> {
    let dataset = &request.dataset;
    let manifest = Manifest::read(dataset)?;
    let tokens_per_image = manifest.pipeline_file(dataset)?.format.tokens_per_image as usize;
    let all = samples::list_candidates(dataset, &manifest)?;
    let candidates: Vec<_> = all.iter().map(|(candidate, _)| candidate.clone()).collect();
    let chosen = choose(&candidates, request.choice, request.seed);
    let chosen: Vec<_> = chosen.into_iter().filter_map(|position| all.get(position).cloned()).collect();
    let samples = DatasetSamples::open(dataset, &manifest, &chosen, &request.variables)?;
    let open = executor.pool.install(|| OpenModel::open(&request.model, request.device, tokens_per_image))?;
    let journal = journal_path(dataset, &samples, &open.facts, request.options)?;
    executor.progress.start(Step::Validate, samples.len() as u64);
    let (measures, stages) = executor.pool.install(|| {
        let run = Run::new(&open.model, &samples, request.options, meter);
        run.run(&journal, executor.progress)
    })?;
    executor.progress.finish(Step::Validate);
    let report = Report::new(&measures, open.facts, request.policy, open.footprint, stages);
    let (report_path, table_path) = write(dataset, &measures, &report)?;
    fs::remove_file(&journal).map_err(FileError::write(&journal))?;
    Ok(Validated { report, report_path, table_path })
}

fn write(dataset: &Path, measures: &[SampleMeasure], report: &Report) -> Result<(PathBuf, PathBuf), EngineError> {
    let table_path = dataset.join("validation.parquet");
    let temporary = temporary_beside(&table_path)?;
    write_table(&temporary, measures)?;
    publish_file(&temporary, &table_path)?;
    let report_path = dataset.join("validation.json");
    write_json(&report_path, report)?;
    Ok((report_path, table_path))
}

/// A journal beside the dataset, in its directory of work, named after everything that measures depend on.
fn journal_path(
    dataset: &Path,
    samples: &DatasetSamples,
    facts: &ModelFacts,
    options: RunOptions,
) -> Result<PathBuf, EngineError> {
    let manifest = dataset.join("manifest.json");
    let manifest = fs::read(&manifest).map_err(FileError::read(&manifest))?;
    let how = serde_json::json!([facts, options]).to_string();
    let ids = samples.ids().map(|id| id.0).collect::<Vec<_>>().concat();
    let key = Digest::of_fields([&manifest[..], how.as_bytes(), &ids]).to_string();
    let key = key.get(..16).unwrap_or_default();
    let work = manyframe_plan::work_directory(dataset);
    fs::create_dir_all(&work).map_err(FileError::write(&work))?;
    Ok(work.join(format!("validation-{key}.jsonl")))
}
