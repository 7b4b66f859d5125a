//! Where builds put their datasets: found by a dataset, a pipeline file, or a directory with some of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use manyframe_base::files::work_directory;
use manyframe_dataset::{DatasetReader, MANIFEST_FILE};
use manyframe_engine::OutputPlace;
use manyframe_pipeline::{Override, Pipeline, absolute_path};

use super::location;
use crate::exit::UsageError;

/// Levels of directories that are searched.
const LEVELS: usize = 4;

/// The ending of work directories.
const WORK: &str = ".work";

/// A place for a dataset, whether it is there, is being built or was never begun.
pub(super) struct Output {
    pub(super) place: OutputPlace,
    /// The pipeline file that builds it, as far as it is known.
    pub(super) file: Option<PathBuf>,
    pipeline: Option<Pipeline>,
}

impl Output {
    /// What builds it: its pipeline file, or what it was built from; `None` if neither is known.
    pub(super) fn pipeline(&self) -> Result<Option<Pipeline>> {
        if let Some(pipeline) = &self.pipeline {
            return Ok(Some(pipeline.clone()));
        }
        let dataset = &self.place.dataset;
        if !dataset.join(MANIFEST_FILE).is_file() {
            return Ok(None);
        }
        let mut pipeline = DatasetReader::open(dataset)?.pipeline(&BTreeMap::new())?;
        pipeline.set_output_directory(dataset);
        pipeline.stores = location::stores()?;
        Ok(Some(pipeline))
    }
}

/// The outputs at a path, in the order of their directories.
pub(super) fn find(path: &Path, overrides: &[Override]) -> Result<Vec<Output>> {
    let mut found = Found::default();
    if path.is_file() {
        found.add_file(path, read(path, overrides, overrides)?);
        return Ok(found.finish());
    }
    let path = absolute_path(path);
    if let Err(error) = fs::read_dir(&path) {
        // A dataset that was begun, or removed.
        if !work_directory(&path).is_dir() {
            return Err(UsageError(format!("cannot read {}: {error}", path.display())).into());
        }
        found.add_dataset(path);
        return Ok(found.finish());
    }
    // In a directory, files that are no pipelines are none of ours.
    for file in manyframe_pipeline::list_files(&path).unwrap_or_default() {
        let own = manyframe_pipeline::overrides_for(&file, overrides).unwrap_or_default();
        if let Ok(pipeline) = read(&file, &own, overrides) {
            found.add_file(&file, pipeline);
        }
    }
    found.search(&path, LEVELS);
    Ok(found.finish())
}

fn read(file: &Path, own: &[Override], all: &[Override]) -> Result<Pipeline> {
    let mut pipeline = manyframe_pipeline::read_stage(file, own, all)?.pipeline;
    pipeline.stores = location::stores()?;
    Ok(pipeline)
}

/// Outputs by their work directories.
#[derive(Default)]
struct Found(BTreeMap<PathBuf, Output>);

impl Found {
    fn add_file(&mut self, file: &Path, pipeline: Pipeline) {
        let output = &pipeline.file.output;
        let place = OutputPlace { dataset: output.location().to_owned(), work: output.work_directory() };
        self.add(Output { place, file: Some(file.to_owned()), pipeline: Some(pipeline) });
    }

    fn add_dataset(&mut self, dataset: PathBuf) {
        let place = OutputPlace { work: work_directory(&dataset), dataset };
        self.add(Output { place, file: None, pipeline: None });
    }

    fn add(&mut self, output: Output) {
        self.0.entry(output.place.work.clone()).or_insert(output);
    }

    /// Looks for datasets and work directories. What is in them is not searched, and links are not followed.
    fn search(&mut self, directory: &Path, levels: usize) {
        if let Some(dataset) = dataset_of_work(directory) {
            self.add_dataset(dataset);
            return;
        }
        if directory.join(MANIFEST_FILE).is_file() || dataset_of_work(&work_directory(directory)).is_some() {
            self.add_dataset(directory.to_owned());
            return;
        }
        if levels == 0 {
            return;
        }
        for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            if !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.search(&entry.path(), levels - 1);
            }
        }
    }

    fn finish(self) -> Vec<Output> {
        self.0.into_values().collect()
    }
}

/// The dataset that a work directory belongs to, if it is one.
fn dataset_of_work(directory: &Path) -> Option<PathBuf> {
    let dataset = directory.to_str()?.strip_suffix(WORK)?;
    directory.join("lock").is_file().then(|| PathBuf::from(dataset))
}
