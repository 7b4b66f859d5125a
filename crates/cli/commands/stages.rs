//! A pipeline file, or a directory of them: the stages of a training recipe, each after those that it refers to.

use std::path::{Path, PathBuf};

use anyhow::Result;
use manyframe_base::is_url;
use manyframe_dataset::DatasetReader;
use manyframe_engine::{Build, BuildOptions, CommitOptions};
use manyframe_pipeline::{Override, Pipeline, ReadPipeline};
use manyframe_storage::Stores;

use super::location;
use crate::args::PipelineArguments;
use crate::exit;
use crate::supervised::Session;

/// A pipeline file and the overrides that apply to it.
pub(super) struct Stage {
    path: PathBuf,
    overrides: Vec<Override>,
    /// Those of all stages: the files that it names take theirs.
    all_overrides: Vec<Override>,
}

/// The stages of a file or directory, in build order.
pub(super) fn list(path: &Path, overrides: &[Override]) -> Result<Vec<Stage>> {
    if !path.is_dir() {
        let all_overrides = overrides.to_vec();
        return Ok(vec![Stage { path: path.to_owned(), overrides: all_overrides.clone(), all_overrides }]);
    }
    let paths = manyframe_pipeline::list_stages(path, overrides)?;
    let stages = paths.into_iter().map(|path| {
        let own = manyframe_pipeline::overrides_for(&path, overrides)?;
        Ok(Stage { path, overrides: own, all_overrides: overrides.to_vec() })
    });
    let stages = stages.collect::<Result<Vec<Stage>>>()?;
    // In one file, an override of an unknown setting is an error; in a directory, at least one stage must know it.
    match overrides.iter().find(|set| !stages.iter().any(|stage| stage.overrides.contains(set))) {
        None => Ok(stages),
        Some(set) => Err(unknown_setting(path, set)),
    }
}

/// The files to check, each with its overrides. One file takes all of them; of several, each takes those that it knows.
pub(super) fn list_for_check(
    path: &Path,
    num_files: usize,
    overrides: &[Override],
) -> Result<Vec<(PathBuf, Vec<Override>)>> {
    if num_files == 1 && !path.is_dir() {
        return Ok(vec![(path.to_owned(), overrides.to_vec())]);
    }
    let files = if path.is_dir() { manyframe_pipeline::list_files(path)? } else { vec![path.to_owned()] };
    // A file that cannot be read is reported when it is checked.
    let own = |path: &PathBuf| manyframe_pipeline::overrides_for(path, overrides).unwrap_or_default();
    let files: Vec<_> = files.into_iter().map(|path| (path.clone(), own(&path))).collect();
    match overrides.iter().find(|set| num_files == 1 && !files.iter().any(|(_, own)| own.contains(set))) {
        None => Ok(files),
        Some(set) => Err(unknown_setting(path, set)),
    }
}

fn unknown_setting(path: &Path, set: &Override) -> anyhow::Error {
    exit::UsageError(format!("no stage of {} has a setting {:?}", path.display(), set.key)).into()
}

/// The stages of the arguments in build order, with `--output` applied if they are a directory.
pub(super) fn of_arguments(arguments: &PipelineArguments) -> Result<Vec<Stage>> {
    let mut overrides = arguments.overrides.set.clone();
    if let Some(output) = arguments.output.as_ref().filter(|_| arguments.file.is_dir()) {
        let set = |key: &str, value: String| Override { key: key.to_owned(), value };
        let root = toml::Value::String(text_of(output)?.to_owned()).to_string();
        overrides.extend([set("output.directory", "\"\"".to_owned()), set("output.root", root)]);
    }
    list(&arguments.file, &overrides)
}

/// Reads a stage. For a single file, `--output` is the directory of its dataset.
pub(super) fn read(stage: &Stage, arguments: &PipelineArguments) -> Result<Pipeline> {
    let Stage { path, overrides, all_overrides } = stage;
    let ReadPipeline { mut pipeline, references } = manyframe_pipeline::read_stage(path, overrides, all_overrides)?;
    let stores = location::stores_at(&arguments.store)?;
    for (path, dataset) in references {
        warn_if_changed(&path, (&dataset, &stores), all_overrides)?;
    }
    pipeline.stores = stores;
    if let Some(output) = arguments.output.as_ref().filter(|_| !arguments.file.is_dir()) {
        text_of(output)?;
        pipeline.set_output_directory(output);
    }
    let output = pipeline.file.output.location();
    if !is_url(output) && output.is_relative() {
        return Err(nameless(output));
    }
    Ok(pipeline)
}

/// A path in the words of a pipeline file.
fn text_of(output: &Path) -> Result<&str> {
    output.to_str().ok_or_else(|| nameless(output))
}

fn nameless(output: &Path) -> anyhow::Error {
    let why = "its name, or that of a directory above it, is not valid Unicode, so that no setting could name it";
    exit::UsageError(format!(
        "cannot build into {}: {why}; rename that directory, or choose another one",
        output.display()
    ))
    .into()
}

/// Opens the build of a stage, watched if this process is.
pub(super) fn open(
    number: usize,
    pipeline: Pipeline,
    arguments: &PipelineArguments,
    commit: CommitOptions,
    session: &Session,
) -> Result<Build> {
    session.begin(number);
    let options = BuildOptions { is_fresh: arguments.fresh, resumes: session.resumes(number), commit };
    let mut build = Build::open(pipeline, options)?;
    session.watch(number, |in_flight, verdicts| Ok(build.watch(in_flight, verdicts)?))?;
    Ok(build)
}

/// Warns if a dataset that is replayed differs from what its pipeline file would build now. It may have been built with
/// overrides: those of this command are tried, all of them and then variables only.
fn warn_if_changed(path: &Path, (dataset, stores): (&str, &Stores), overrides: &[Override]) -> Result<()> {
    // A missing dataset is reported when its source is opened.
    let Ok(dataset_there) = DatasetReader::open_at(Path::new(dataset), stores) else { return Ok(()) };
    let manifest = dataset_there.manifest();
    let all = manyframe_pipeline::overrides_for(path, overrides)?;
    let variables: Vec<Override> = all.iter().filter(|set| !set.key.contains('.')).cloned().collect();
    // Errors in that file are reported when it is built.
    let is_built_with = |own: &[Override]| {
        manyframe_pipeline::read_stage(path, own, overrides).is_ok_and(|read| manifest.is_built_by(&read.pipeline))
    };
    if !is_built_with(&all) && !is_built_with(&variables) {
        let message = "the dataset was built with settings other than those in its pipeline file; build it again";
        tracing::warn!(file = %path.display(), %dataset, "{message}");
    }
    Ok(())
}
