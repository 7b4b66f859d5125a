//! Runs a model over samples of a dataset, and writes what it measured beside the shards.
//!
//! `manyframe-validate` decides what is measured and what it means; here, samples are located and read.

mod journal;
mod needles;
mod questions;
mod request;
mod samples;
pub(crate) mod tasks;

use std::fs;
use std::path::Path;

use manyframe_base::files::{parent_directory, work_directory};
use manyframe_base::{Executor, FileAction, FileError, Step, write_json};
use manyframe_core::Digest;
use manyframe_dataset::DatasetReader;
use manyframe_storage::LocalDirectory;
use manyframe_validate::measure::{
    Finding, Meter, Policy, Report, ReportContext, SampleMeasure, TableEntry, ValidationRun, Verdict, write_table,
};

use crate::content_file::ContentFile;
use crate::current::{check_current, if_current};
use crate::engine::{Engine, TaskSet};
use crate::error::EngineError;
use journal::journal_path;
use request::{Measured, choose_samples, open_model};
use samples::DatasetSamples;
use tasks::ValidateTasks;

pub use needles::{NeedleRequest, score_needles};
pub use questions::DatasetQuestions;
pub use request::{ValidateRequest, read_policy};

/// The table of a validation, which its report names.
const VALIDATION_TABLE: ContentFile = ContentFile { stem: "validation", extension: "parquet" };

/// What runs the model.
#[derive(Clone, Copy)]
pub struct ValidateOn<'a> {
    /// Runs it in this process, or, batch by batch as tasks, on other machines, which see dataset and model under the same paths.
    pub engine: &'a dyn Engine,
    /// The threads of this process, and progress.
    pub executor: Executor<'a>,
    /// Measures time and memory of this process.
    pub meter: &'a dyn Meter,
}

/// A measure and its limits, such as `mean loss 4.2000, warn over 2.5, fail over 4`.
pub fn finding_text(finding: &Finding) -> String {
    let name = serde_json::to_value(finding.measure).ok().and_then(|name| name.as_str().map(str::to_owned));
    let limit = |name: &str, limit: Option<f64>| limit.map_or(String::new(), |limit| format!(", {name} over {limit}"));
    format!(
        "{} {:.4}{}{}",
        name.unwrap_or_default().replace('_', " "),
        finding.value,
        limit("warn", finding.limit.warn),
        limit("fail", finding.limit.fail),
    )
}

/// Validates a dataset that is not published yet. A failed validation is an error, so that it is not published.
pub(crate) fn validate_staged(
    dataset: &DatasetReader,
    request: &ValidateRequest,
    on: ValidateOn<'_>,
) -> Result<Report, EngineError> {
    let report = validate_dataset(dataset, request, on)?;
    if report.verdict != Verdict::Fail {
        return Ok(report);
    }
    let failed = report.findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    let findings = failed.map(finding_text).collect::<Vec<_>>().join("; ");
    Err(EngineError::Invalid { findings, report: Box::new(report), path: dataset.location().to_owned() })
}

/// Runs samples of a dataset through a model, and writes a table of them, and then `validation.json`, which names it, into its
/// directory: whenever that is interrupted, the two are of one run.
///
/// An interrupted run resumes if dataset, model, samples and options are the same.
///
/// # Errors
///
/// [`EngineError::Model`] if the model cannot be opened or run, [`EngineError::NoTokens`] if the samples have no token ids
/// and the tokenizer is missing, [`EngineError::Dataset`] if the dataset cannot be read, [`EngineError::DifferentModels`] if
/// machines ran it on different devices, and the errors of the engine.
pub fn validate(request: &ValidateRequest, on: ValidateOn<'_>) -> Result<Report, EngineError> {
    let dataset = DatasetReader::open(&request.dataset)?;
    if_current(&dataset, validate_dataset(&dataset, request, on))
}

/// As [`validate`], of a dataset that is open; its directory is where its location is.
fn validate_dataset(
    dataset: &DatasetReader,
    request: &ValidateRequest,
    on: ValidateOn<'_>,
) -> Result<Report, EngineError> {
    if on.engine.works_on_executor() {
        validate_here(dataset, request, on)
    } else {
        validate_as_tasks(dataset, request, on)
    }
}

/// Each batch of samples is a task.
fn validate_as_tasks(
    dataset: &DatasetReader,
    request: &ValidateRequest,
    on: ValidateOn<'_>,
) -> Result<Report, EngineError> {
    let ValidateOn { engine, executor, meter } = on;
    let directory = work_directory(dataset.location()).join("validate-tasks");
    let tasks = ValidateTasks::create(&directory, (dataset, request), meter)?;
    executor.progress.start(Step::Validate, (0..tasks.num_tasks()).map(|task| tasks.size(task)).sum());
    let measured = tasks.run_on(engine, executor)?;
    executor.progress.finish(Step::Validate);
    let report = conclude(dataset, measured, request.policy)?;
    fs::remove_dir_all(&directory).map_err(FileError::when(FileAction::Remove, &directory))?;
    // Work of a build may be in it.
    _ = fs::remove_dir(parent_directory(&directory));
    Ok(report)
}

/// This process runs the model.
fn validate_here(
    dataset: &DatasetReader,
    request: &ValidateRequest,
    ValidateOn { executor, meter, .. }: ValidateOn<'_>,
) -> Result<Report, EngineError> {
    let chosen = choose_samples(dataset, request.choice, request.seed)?;
    let samples = DatasetSamples::open(dataset, &chosen, &request.variables)?;
    let open = executor.pool.install(|| open_model(dataset, &request.model, request.device))?;
    // Named after everything that the measures depend on.
    let how = serde_json::json!([open.facts, request.options]).to_string();
    let key = Digest::of_fields([&samples.digest().0[..], how.as_bytes()]);
    let journal = journal_path(samples.location(), "validation", key)?;
    executor.progress.start(Step::Validate, samples.len() as u64);
    let (measures, usage) = executor.pool.install(|| {
        let run = ValidationRun { model: &open.model, samples: &samples, options: request.options, meter };
        run.run(&journal, executor.progress)
    })?;
    executor.progress.finish(Step::Validate);
    let all = Measured { model: open.facts, footprint: open.footprint, usage, measures };
    let report = conclude(dataset, all, request.policy)?;
    fs::remove_file(&journal).map_err(FileError::write(&journal))?;
    Ok(report)
}

/// Writes the report of a validation, and its table.
fn conclude(dataset: &DatasetReader, measured: Measured, policy: Policy) -> Result<Report, EngineError> {
    let Measured { model, footprint, usage, measures } = measured;
    let mut report = Report::new(&measures, ReportContext { model, footprint, policy, usage });
    check_current(dataset)?;
    write(dataset.location(), &measures, &mut report)?;
    Ok(report)
}

fn write(dataset: &Path, measures: &[SampleMeasure], report: &mut Report) -> Result<(), EngineError> {
    let temporary = VALIDATION_TABLE.temporary(dataset)?;
    write_table(&temporary, measures)?;
    let (path, digest) = VALIDATION_TABLE.publish(dataset, &temporary)?;
    report.table = Some(TableEntry { path: path.clone(), digest });
    write_json(&dataset.join("validation.json"), report)?;
    VALIDATION_TABLE.remove_others(&LocalDirectory::new(dataset), &path)
}
