//! Runs a model over samples of a dataset, and writes what it measured beside the shards.
//!
//! What is measured, and what it means, is the business of `manyframe-validate`; here samples are found and read.

mod samples;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::files::{publish_file, temporary_beside};
use manyframe_base::{Executor, FileError, Step, write_json};
use manyframe_core::{DeviceChoice, Digest};
use manyframe_dataset::{DatasetReader, work_directory};
use manyframe_pipeline::ValidateTable;
use manyframe_validate::OpenModel;
use manyframe_validate::measure::{
    Controls, Finding, Meter, ModelFacts, Policy, Report, ReportContext, RunOptions, SampleChoice, SampleMeasure,
    ValidationRun, Verdict, choose, write_table,
};

use crate::error::EngineError;
use samples::DatasetSamples;

/// What is to be validated, and how.
#[derive(Debug, Clone)]
pub struct ValidateRequest {
    /// The dataset's directory.
    pub dataset: PathBuf,
    /// The model's directory.
    pub model: PathBuf,
    /// How many samples are run.
    pub choice: SampleChoice,
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

impl ValidateRequest {
    /// What the table `[validate]` asks for; the dataset is set when there is one. Mistakes in the policy show here, before
    /// hours of work.
    pub(crate) fn from_table(table: &ValidateTable) -> Result<Self, EngineError> {
        let model = PathBuf::from(&table.model);
        if !model.join("config.json").exists() {
            return Err(EngineError::NoModel { path: model });
        }
        let policy = if table.policy.is_empty() { Policy::default() } else { read_policy(Path::new(&table.policy))? };
        Ok(Self {
            dataset: PathBuf::new(),
            model,
            choice: SampleChoice::Count(table.samples.get() as usize),
            seed: table.seed,
            device: table.device,
            options: RunOptions {
                controls: if table.controls { Controls::All } else { Controls::None },
                ..RunOptions::default()
            },
            policy,
            variables: BTreeMap::new(),
        })
    }
}

/// Reads the limits of a validation from a TOML file.
///
/// # Errors
///
/// [`EngineError::File`] if it cannot be read, [`EngineError::Policy`] if it is no policy.
pub fn read_policy(path: &Path) -> Result<Policy, EngineError> {
    let text = fs::read_to_string(path).map_err(FileError::read(path))?;
    toml::from_str(&text).map_err(|source| EngineError::Policy { path: path.to_owned(), source })
}

/// A measure beside the limits that it has, such as `mean loss 4.2000, warn over 2.5, fail over 4`.
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

/// Validates a dataset that is not published yet. The worst verdict is an error, which keeps it from being published.
pub(crate) fn validate_staged(
    request: &ValidateRequest,
    staged: &Path,
    executor: Executor<'_>,
    meter: &dyn Meter,
) -> Result<Report, EngineError> {
    let request = ValidateRequest { dataset: staged.to_owned(), ..request.clone() };
    let report = validate(&request, executor, meter)?;
    if report.verdict != Verdict::Fail {
        return Ok(report);
    }
    let failed = report.findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    let findings = failed.map(finding_text).collect::<Vec<_>>().join("; ");
    Err(EngineError::Invalid { findings, report: Box::new(report), path: staged.to_owned() })
}

/// Runs samples of a dataset through a model, and writes `validation.parquet` and `validation.json` into its directory.
///
/// A run that was cut off goes on where it stopped, if dataset, model, samples and options are the same.
pub fn validate(request: &ValidateRequest, executor: Executor<'_>, meter: &dyn Meter) -> Result<Report, EngineError> {
    let dataset = DatasetReader::open(&request.dataset)?;
    let pipeline = dataset.manifest().pipeline_with(&BTreeMap::new())?;
    let tokens_per_image = pipeline.file.format.spec.tokens_per_image as usize;
    let all = samples::list_candidates(&dataset)?;
    let candidates: Vec<_> = all.iter().map(|(candidate, _)| candidate.clone()).collect();
    let chosen = choose(&candidates, request.choice, request.seed);
    let chosen: Vec<_> = chosen.into_iter().filter_map(|position| all.get(position).cloned()).collect();
    let samples = DatasetSamples::open(&dataset, &chosen, &request.variables)?;
    let open = executor.pool.install(|| OpenModel::open(&request.model, request.device, tokens_per_image))?;
    let journal = journal_path(&dataset, &samples, &open.facts, request.options)?;
    executor.progress.start(Step::Validate, samples.len() as u64);
    let (measures, usage) = executor.pool.install(|| {
        let run = ValidationRun { model: &open.model, samples: &samples, options: request.options, meter };
        run.run(&journal, executor.progress)
    })?;
    executor.progress.finish(Step::Validate);
    let context = ReportContext { model: open.facts, footprint: open.footprint, policy: request.policy, usage };
    let report = Report::new(&measures, context);
    write(&request.dataset, &measures, &report)?;
    fs::remove_file(&journal).map_err(FileError::write(&journal))?;
    Ok(report)
}

fn write(dataset: &Path, measures: &[SampleMeasure], report: &Report) -> Result<(), EngineError> {
    let table_path = dataset.join("validation.parquet");
    let temporary = temporary_beside(&table_path)?;
    write_table(&temporary, measures)?;
    publish_file(&temporary, &table_path)?;
    write_json(&dataset.join("validation.json"), report)?;
    Ok(())
}

/// A journal beside the dataset, in its directory of work, named after everything that measures depend on.
fn journal_path(
    dataset: &DatasetReader,
    samples: &DatasetSamples,
    facts: &ModelFacts,
    options: RunOptions,
) -> Result<PathBuf, EngineError> {
    let how = serde_json::json!([facts, options]).to_string();
    let ids = samples.ids().map(|id| id.0).collect::<Vec<_>>().concat();
    let key = Digest::of_fields([&dataset.manifest_digest().0[..], how.as_bytes(), &ids]).to_string();
    let key = key.get(..16).unwrap_or_default();
    let work = work_directory(dataset.location());
    fs::create_dir_all(&work).map_err(FileError::write(&work))?;
    Ok(work.join(format!("validation-{key}.jsonl")))
}
