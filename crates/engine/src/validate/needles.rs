//! Asks a model the questions of a needle dataset, and writes what it found beside the shards: a table, a picture and a report.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use manyframe_base::{Executor, FileError, Step, write_json};
use manyframe_core::{DeviceChoice, Digest};
use manyframe_dataset::DatasetReader;
use manyframe_report::heat_map_png;
use manyframe_storage::LocalDirectory;
use manyframe_validate::OpenModel;
use manyframe_validate::measure::{Meter, TableEntry};
use manyframe_validate::needles::{NeedleReport, NeedleRun, QuestionMeasure, write_needle_table};

use super::journal::journal_path;
use super::questions::DatasetQuestions;
use super::samples::tokens_per_image;
use crate::content_file::ContentFile;
use crate::current::{check_current, if_current};
use crate::error::EngineError;

/// The table of the scores, which their report names.
const SCORES_TABLE: ContentFile = ContentFile { stem: "needle-scores", extension: "parquet" };
/// The picture of the scores, which their report names.
const SCORES_PICTURE: ContentFile = ContentFile { stem: "needle-scores", extension: "png" };

/// Which questions are to be asked, and whom.
#[derive(Debug, Clone)]
pub struct NeedleRequest {
    /// The dataset's directory.
    pub dataset: PathBuf,
    /// The model's directory.
    pub model: PathBuf,
    /// Device that the model runs on.
    pub device: DeviceChoice,
    /// Values of the pipeline file's variables on this machine, if the dataset was built on another.
    pub variables: BTreeMap<String, String>,
}

/// Asks a model every question of a needle dataset, and writes a table and a picture of its answers, and then `needle-scores.json`, which
/// names both, into the dataset's directory: whenever that is interrupted, the three are of one run.
///
/// An interrupted run resumes if dataset and model are the same: a question whose options were scored is not asked again.
///
/// # Errors
///
/// [`EngineError::NoQuestions`] if the dataset asks nothing about needles, [`EngineError::Model`] if the model cannot be opened or run,
/// [`EngineError::NoTokenizer`] without the dataset's tokenizer, [`EngineError::Dataset`] if the dataset cannot be read.
pub fn score_needles(
    request: &NeedleRequest,
    executor: Executor<'_>,
    meter: &dyn Meter,
) -> Result<NeedleReport, EngineError> {
    let dataset = DatasetReader::open(&request.dataset)?;
    if_current(&dataset, score(&dataset, request, executor, meter))
}

fn score(
    dataset: &DatasetReader,
    request: &NeedleRequest,
    executor: Executor<'_>,
    meter: &dyn Meter,
) -> Result<NeedleReport, EngineError> {
    let questions = DatasetQuestions::open(dataset, &request.variables)?;
    let tokens_per_image = tokens_per_image(dataset)?;
    let open = executor.pool.install(|| OpenModel::open(&request.model, request.device, tokens_per_image))?;
    let how = serde_json::json!(open.facts).to_string();
    let key = Digest::of_fields([&questions.digest().0[..], how.as_bytes()]);
    let journal = journal_path(questions.location(), "needle-scores", key)?;
    executor.progress.start(Step::Validate, questions.len() as u64);
    let (measures, usage) = executor.pool.install(|| {
        let run = NeedleRun {
            questions: &questions,
            scorer: &open.model,
            sizes: open.model.sequence_sizes(),
            has_tower: open.model.tower().is_some(),
            meter,
        };
        run.run(&journal, executor.progress)
    })?;
    executor.progress.finish(Step::Validate);
    let mut report = NeedleReport::new(&measures, open.facts, usage);
    check_current(dataset)?;
    write(dataset.location(), &measures, &mut report)?;
    fs::remove_file(&journal).map_err(FileError::write(&journal))?;
    Ok(report)
}

fn write(dataset: &Path, measures: &[QuestionMeasure], report: &mut NeedleReport) -> Result<(), EngineError> {
    let table = SCORES_TABLE.temporary(dataset)?;
    write_needle_table(&table, measures)?;
    report.table = Some(published(SCORES_TABLE, dataset, &table)?);
    if let Some(map) = heat_map_png("right answers over all tasks, %", &report.cells)? {
        let picture = SCORES_PICTURE.temporary(dataset)?;
        manyframe_base::write_atomic(&picture, &map)?;
        report.heat_map = Some(published(SCORES_PICTURE, dataset, &picture)?);
    }
    write_json(&dataset.join("needle-scores.json"), report)?;
    let storage = LocalDirectory::new(dataset);
    let kept = |entry: &Option<TableEntry>| entry.as_ref().map(|entry| entry.path.clone()).unwrap_or_default();
    SCORES_TABLE.remove_others(&storage, &kept(&report.table))?;
    SCORES_PICTURE.remove_others(&storage, &kept(&report.heat_map))
}

fn published(kind: ContentFile, dataset: &Path, temporary: &Path) -> Result<TableEntry, EngineError> {
    let (path, digest) = kind.publish(dataset, temporary)?;
    Ok(TableEntry { path, digest })
}
