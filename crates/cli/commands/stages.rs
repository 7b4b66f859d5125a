//! A pipeline file, or a folder of them: the stages of a training recipe, each after those that it names.

use std::path::{Path, PathBuf};

use anyhow::Result;
use manyframe_engine::Manifest;
use manyframe_pipeline::{Override, Pipeline, ReadPipeline};

use crate::args::PipelineArguments;
use crate::exit;

/// A pipeline file and the overrides that concern it.
pub(super) struct Stage {
    pub(super) path: PathBuf,
    pub(super) overrides: Vec<Override>,
}

/// The stages of a file or folder, in the order in which they are built.
pub(super) fn list(path: &Path, overrides: &[Override]) -> Result<Vec<Stage>> {
    if !path.is_dir() {
        return Ok(vec![Stage { path: path.to_owned(), overrides: overrides.to_vec() }]);
    }
    let paths = manyframe_pipeline::list_stages(path, overrides)?;
    let stages = paths.into_iter().map(|path| {
        let overrides = manyframe_pipeline::overrides_for(&path, overrides)?;
        Ok(Stage { path, overrides })
    });
    let stages = stages.collect::<Result<Vec<Stage>>>()?;
    // In one file, an override without a place is an error; in a folder, one stage must have a place for it.
    match overrides.iter().find(|set| !stages.iter().any(|stage| stage.overrides.contains(set))) {
        None => Ok(stages),
        Some(set) => {
            Err(exit::WrongUse(format!("no stage of {} has a place for {:?}", path.display(), set.key)).into())
        }
    }
}

/// The stages of one of several files. Of several, each takes the overrides that it has a place for.
pub(super) fn list_for_check(path: &Path, num_files: usize, overrides: &[Override]) -> Result<Vec<Stage>> {
    if num_files == 1 || path.is_dir() {
        return list(path, overrides);
    }
    Ok(vec![Stage { path: path.to_owned(), overrides: manyframe_pipeline::overrides_for(path, overrides)? }])
}

/// The stages that the arguments name, with `--output` applied, in the order in which they are built.
pub(super) fn of_arguments(arguments: &PipelineArguments) -> Result<Vec<Stage>> {
    let mut overrides = arguments.overrides.set.clone();
    if let Some(output) = arguments.output.as_ref().filter(|_| arguments.file.is_dir()) {
        let set = |key: &str, value: String| Override { key: key.to_owned(), value: format!("{value:?}") };
        overrides.extend([set("output.directory", String::new()), set("output.root", output.display().to_string())]);
    }
    list(&arguments.file, &overrides)
}

/// Reads a stage. `--output` of a single file is the directory of its dataset.
pub(super) fn read(stage: &Stage, arguments: &PipelineArguments) -> Result<Pipeline> {
    let ReadPipeline { mut pipeline, references } = manyframe_pipeline::read(&stage.path, &stage.overrides)?;
    for (path, dataset) in references {
        warn_if_changed(&path, &dataset, &stage.overrides)?;
    }
    if let Some(output) = arguments.output.as_ref().filter(|_| !arguments.file.is_dir()) {
        pipeline.file.output.directory = output.display().to_string();
    }
    Ok(pipeline)
}

/// Says so if a dataset that is replayed is not what its pipeline file would build now. It may have been built with settings of
/// the command line; those of this one count if they fit.
fn warn_if_changed(path: &Path, dataset: &str, overrides: &[Override]) -> Result<()> {
    // A dataset that is not there is an error of its own.
    let Ok(manifest) = Manifest::read(Path::new(dataset)) else { return Ok(()) };
    let all = manyframe_pipeline::overrides_for(path, overrides)?;
    let variables: Vec<Override> = all.iter().filter(|set| !set.key.contains('.')).cloned().collect();
    // Mistakes of that file are told when it is built.
    let is_built_with = |overrides: &[Override]| {
        manyframe_pipeline::read(path, overrides).is_ok_and(|read| manifest.is_built_by(&read.pipeline))
    };
    if !is_built_with(&all) && !is_built_with(&variables) {
        let message = "the dataset was built from other settings than its file has; build it again";
        tracing::warn!(file = %path.display(), %dataset, "{message}");
    }
    Ok(())
}
