//! What a validation is asked for: the model, the samples, and how they run.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use manyframe_base::{FileError, open_regular};
use manyframe_core::DeviceChoice;
use manyframe_dataset::DatasetReader;
use manyframe_pipeline::PipelineFile;
use manyframe_validate::OpenModel;
use manyframe_validate::measure::{
    Controls, Footprint, ModelFacts, Policy, RunOptions, RunUsage, SampleChoice, SampleMeasure, choose,
};

use crate::error::EngineError;
use crate::validate::samples::{ListedSample, list_samples, tokens_per_image};

/// What is to be validated, and how.
#[derive(Debug, Clone)]
pub struct ValidateRequest {
    /// The dataset's directory.
    pub dataset: PathBuf,
    /// The model's directory.
    pub model: PathBuf,
    /// How many samples to run.
    pub choice: SampleChoice,
    /// Seed of the choice of samples.
    pub seed: u64,
    /// Device that the model runs on.
    pub device: DeviceChoice,
    /// How to run them.
    pub options: RunOptions,
    /// Limits of the measures.
    pub policy: Policy,
    /// Values of the pipeline file's variables on this machine, if the dataset was built on another.
    pub variables: BTreeMap<String, String>,
}

impl ValidateRequest {
    /// The request of the table `[validate]`, whose dataset is set later; `None` without such a table. Reads the policy, and
    /// makes sure that there is a model.
    pub(crate) fn of_pipeline(file: &PipelineFile) -> Result<Option<Self>, EngineError> {
        let Some(table) = &file.validate else { return Ok(None) };
        let model = PathBuf::from(&table.model);
        if !model.join("config.json").exists() {
            return Err(EngineError::NoModel { path: model });
        }
        let policy = if table.policy.is_empty() { Policy::default() } else { read_policy(Path::new(&table.policy))? };
        Ok(Some(Self {
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
        }))
    }
}

/// Reads the limits of a validation from a TOML file.
///
/// # Errors
///
/// [`EngineError::File`] if it cannot be read, [`EngineError::Policy`] if it is no policy.
pub fn read_policy(path: &Path) -> Result<Policy, EngineError> {
    let text = open_regular(path).and_then(io::read_to_string).map_err(FileError::read(path))?;
    toml::from_str(&text).map_err(|source| EngineError::Policy { path: path.to_owned(), source })
}

/// What was measured, before anything is concluded from it.
pub(super) struct Measured {
    pub(super) model: ModelFacts,
    pub(super) footprint: Footprint,
    pub(super) usage: RunUsage,
    pub(super) measures: Vec<SampleMeasure>,
}

/// Opens a model as the dataset's family uses it.
pub(super) fn open_model(
    dataset: &DatasetReader,
    model: &Path,
    device: DeviceChoice,
) -> Result<OpenModel, EngineError> {
    Ok(OpenModel::open(model, device, tokens_per_image(dataset)?)?)
}

/// The samples that a choice takes of a dataset.
pub(super) fn choose_samples(
    dataset: &DatasetReader,
    choice: SampleChoice,
    seed: u64,
) -> Result<Vec<ListedSample>, EngineError> {
    let all = list_samples(dataset)?;
    let candidates: Vec<_> = all.iter().map(|listed| listed.candidate.clone()).collect();
    let chosen = choose(&candidates, choice, seed);
    #[expect(clippy::indexing_slicing, reason = "`choose` returns positions among its candidates")]
    let chosen = chosen.into_iter().map(|position| all[position].clone()).collect();
    Ok(chosen)
}
