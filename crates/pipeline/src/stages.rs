//! Pipeline files that name other pipeline files: the datasets that those build are replayed, so they must be built
//! first.

use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::document::{self, Node, Override};
use crate::error::PipelineError;
use crate::parse::{ParsedFile, directory_of, parse_file};
use crate::portable::{HERE, Pipeline, absolute_text, resolve_links};
use crate::problem::Problem;
use crate::settings::file::PipelineFile;
use crate::settings::values::OneOrMany;

/// A checked pipeline file, and the pipeline files that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadPipeline {
    /// The pipeline, with datasets in place of the files that build them.
    pub pipeline: Pipeline,
    /// The files that it names, and the datasets that they build.
    pub references: BTreeMap<PathBuf, String>,
}

/// Reads and checks a pipeline file, and determines where the pipeline files that it names put their datasets.
///
/// Of the overrides, those files take variables that they declare, and `output.root`.
///
/// # Errors
///
/// [`PipelineError::Invalid`] with every error of the file, [`PipelineError::Read`] if it or a file that it names cannot be
/// read.
pub fn read(path: &Path, overrides: &[Override]) -> Result<ReadPipeline, PipelineError> {
    read_stage(path, overrides, overrides)
}

/// As [`read`], for one of several files: its own overrides, and those of all files, of which the ones that it names take theirs.
///
/// # Errors
///
/// Those of [`read`].
pub fn read_stage(path: &Path, own: &[Override], all: &[Override]) -> Result<ReadPipeline, PipelineError> {
    let parsed = parse_file(&read_text(path).map_err(unreadable(path))?, path, own).map_err(PipelineError::Invalid)?;
    with_datasets(parsed, all)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> PipelineError {
    let path = path.to_owned();
    move |source| PipelineError::Read { path, source }
}

/// A file with datasets in place of the files that build them.
fn with_datasets(mut parsed: ParsedFile, overrides: &[Override]) -> Result<ReadPipeline, PipelineError> {
    let mut outputs = BTreeMap::new();
    for text in references(&mut parsed.file) {
        let output = match outputs.entry(PathBuf::from(text.as_str())) {
            Entry::Occupied(output) => output.into_mut(),
            Entry::Vacant(missing) => {
                let output = output_of(missing.key(), overrides)?;
                missing.insert(output)
            }
        };
        output.clone_into(text);
    }
    Ok(ReadPipeline { pipeline: parsed.locate(), references: outputs })
}

/// The text of a pipeline file.
///
/// # Errors
///
/// If it cannot be read, or if no text could name what is beside it.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    if std::path::absolute(path)?.to_str().is_none() {
        let reason = "the name of a directory above it is not valid Unicode, so that no setting could name what is in it; \
                      rename that directory";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    // A pipe that nobody writes to would be read forever; those below `/dev` are of the shell that runs the command.
    if !path.starts_with("/dev") && std::fs::metadata(path)?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    std::fs::read_to_string(path)
}

/// Every setting that names a dataset by the pipeline file that builds it.
pub(crate) fn references(file: &mut PipelineFile) -> Vec<&mut String> {
    let mut named: Vec<&mut String> = Vec::new();
    let mut add = |text| named.push(text);
    for source in &mut file.source {
        add(&mut source.from);
        for datasets in [&mut source.delivered_in, &mut source.not_delivered_in] {
            match datasets {
                OneOrMany::One(text) => add(text),
                OneOrMany::Many(texts) => texts.iter_mut().for_each(&mut add),
            }
        }
    }
    named.retain(|text| is_pipeline_file(text));
    named
}

/// Whether a dataset is named by the pipeline file that builds it.
pub(crate) fn is_pipeline_file(text: &str) -> bool {
    Path::new(text).extension().is_some_and(|extension| extension == "toml")
}

/// The dataset that a pipeline file builds. Nothing else of the file is checked: its errors are reported when it is built.
fn output_of(path: &Path, overrides: &[Override]) -> Result<String, PipelineError> {
    let text = read_text(path).map_err(unreadable(path))?;
    let mut root = document::parse(&text).map_err(|problems| in_file(problems, path))?;
    let declared: Vec<String> = keys(&root, "vars");
    // An empty directory means the default one below the root. Any other one is meant for the file that is built.
    let concerns_output =
        |set: &Override| set.key == "output.root" || (set.key == "output.directory" && set.value == "\"\"");
    for set in overrides.iter().filter(|set| concerns_output(set) || declared.contains(&set.key)) {
        document::apply_override(&mut root, set).map_err(|problem| in_file(vec![problem], path))?;
    }
    document::substitute(&mut root, &[(HERE, directory_of(path))]).map_err(|problems| in_file(problems, path))?;
    let json = root.to_json();
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(directory) = text("/output/directory") {
        return Ok(directory.to_owned());
    }
    let name = text("/name").unwrap_or_default();
    Ok(format!("{}/{name}", text("/output/root").unwrap_or("out")))
}

fn keys(root: &Node, table: &str) -> Vec<String> {
    root.get(table).and_then(Node::entries).into_iter().flat_map(|entries| entries.keys().cloned()).collect()
}

fn in_file(problems: Vec<Problem>, path: &Path) -> PipelineError {
    PipelineError::Invalid(problems.into_iter().map(|problem| problem.in_file(&path.display().to_string())).collect())
}

/// The pipeline files of a directory, each after those that it names, otherwise by name.
///
/// # Errors
///
/// [`PipelineError::NoStages`] if there is none, [`PipelineError::CyclicStages`] if they refer to each other in a
/// cycle, [`PipelineError::Invalid`] also if two of them build the same dataset, and those of [`read`].
pub fn list_stages(directory: &Path, overrides: &[Override]) -> Result<Vec<PathBuf>, PipelineError> {
    let mut waiting = Vec::new();
    let mut outputs = Outputs::default();
    for path in list_files(directory)? {
        let own: Vec<Override> = overrides_for(&path, overrides)?;
        let parsed =
            parse_file(&read_text(&path).map_err(unreadable(&path))?, &path, &own).map_err(PipelineError::Invalid)?;
        if let Some(problem) = outputs.add(&path, &parsed) {
            return Err(PipelineError::Invalid(vec![problem]));
        }
        let references = with_datasets(parsed, overrides)?.references;
        waiting.push((path, references.into_keys().collect::<Vec<PathBuf>>()));
    }
    let mut ordered: Vec<PathBuf> = Vec::new();
    while !waiting.is_empty() {
        let is_waited_for = |reference: &PathBuf, waiting: &[(PathBuf, Vec<PathBuf>)]| {
            waiting.iter().any(|(path, _)| is_same_file(path, reference))
        };
        let ready =
            waiting.iter().position(|(_, references)| !references.iter().any(|path| is_waited_for(path, &waiting)));
        match ready {
            Some(ready) => ordered.push(waiting.remove(ready).0),
            None => {
                return Err(PipelineError::CyclicStages { files: waiting.into_iter().map(|(path, _)| path).collect() });
            }
        }
    }
    Ok(ordered)
}

/// The pipeline files of a directory, by name.
///
/// # Errors
///
/// [`PipelineError::NoStages`] if there is none, [`PipelineError::Read`] if it cannot be listed.
pub fn list_files(directory: &Path) -> Result<Vec<PathBuf>, PipelineError> {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.map_err(|source| PipelineError::Read { path: directory.to_owned(), source })?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    if files.is_empty() { Err(PipelineError::NoStages { directory: directory.to_owned() }) } else { Ok(files) }
}

/// Whether two paths lead to one file.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// The datasets that several files build, each with its file.
#[derive(Default)]
pub(crate) struct Outputs(BTreeMap<PathBuf, PathBuf>);

impl Outputs {
    /// Adds the dataset of a file; a problem if another one builds it, too.
    pub(crate) fn add(&mut self, path: &Path, parsed: &ParsedFile) -> Option<Problem> {
        let output = resolve_links(&absolute_text(&parsed.file.output.directory));
        let problem = self.0.get(&output).filter(|other| !is_same_file(other, path)).map(|other| {
            let message = format!("output.directory is that of {}, too", other.display());
            let problem = Problem::new(parsed.written.location_of(&["output", "directory"]), &message);
            let problem = problem.with_value(&output.display().to_string()).in_file(&path.display().to_string());
            problem.with_allowed("a directory of its own for each dataset")
        });
        self.0.entry(output).or_insert_with(|| path.to_owned());
        problem
    }

    /// Whether one of the files builds the dataset in this directory.
    pub(crate) fn contains(&self, directory: &Path) -> bool {
        self.0.contains_key(directory)
    }
}

/// Of the overrides for several files, those that apply to this one: settings of tables that every file may have, its own
/// variables and sources.
///
/// # Errors
///
/// [`PipelineError::Read`] or [`PipelineError::Invalid`] if it is not a readable TOML file.
pub fn overrides_for(path: &Path, overrides: &[Override]) -> Result<Vec<Override>, PipelineError> {
    let text = read_text(path).map_err(unreadable(path))?;
    let root = document::parse(&text).map_err(|problems| in_file(problems, path))?;
    let variables = keys(&root, "vars");
    let applies = |set: &&Override| match set.key.split('.').collect::<Vec<_>>()[..] {
        [key] => variables.iter().any(|name| name == key) || root.has(key),
        ["source", name, ..] => document::has_element(&root, "source", name),
        _ => true,
    };
    Ok(overrides.iter().filter(applies).cloned().collect())
}
