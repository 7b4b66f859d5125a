//! From a checked file to files on this machine: patterns become lists, and every path gets a name that other machines share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_media::MediaRoot;
use manyframe_sources::AnnotationFile;

use super::{Pipeline, SourceTable};
use crate::PlanError;

/// The name of a path in origins and manifests: a variable's value at its front is written as the variable again,
/// so that datasets do not depend on where a machine keeps its files.
pub fn display_name(path: &Path, variables: &BTreeMap<String, String>) -> String {
    let text = path.display().to_string();
    let longest = variables.iter().filter(|(_, value)| !value.is_empty() && path.starts_with(value.as_str()));
    match longest.max_by_key(|(_, value)| value.len()) {
        Some((name, value)) => format!("${{{name}}}{}", text.strip_prefix(value.as_str()).unwrap_or_default()),
        None => text,
    }
}

/// The annotation files of a source, patterns expanded in sorted order.
pub(crate) fn annotation_files(pipeline: &Pipeline, source: &SourceTable) -> Result<Vec<AnnotationFile>, PlanError> {
    let mut files = Vec::new();
    for pattern in source.annotations.as_slice() {
        let mut matched = matching_paths(&source.name, pattern)?;
        matched.sort();
        for path in matched {
            let subset = path.strip_prefix(&source.annotation_root).ok().filter(|_| !source.annotation_root.is_empty());
            let subset = subset.and_then(Path::parent).map(|parent| parent.display().to_string()).unwrap_or_default();
            let name = display_name(&path, &pipeline.variables);
            files.push(AnnotationFile { path, name: name.into(), subset: Arc::from(subset) });
        }
    }
    Ok(files)
}

fn matching_paths(source: &str, pattern: &str) -> Result<Vec<PathBuf>, PlanError> {
    let literal = PathBuf::from(pattern);
    if literal.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![literal]);
    }
    let wrong =
        |detail: String| PlanError::Annotations { source_name: source.to_owned(), pattern: pattern.to_owned(), detail };
    let paths = glob::glob(pattern).map_err(|error| wrong(error.to_string()))?;
    let paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
    if paths.is_empty() { Err(wrong("no file matches".to_owned())) } else { Ok(paths) }
}

/// The media roots of a source, those of its subsets first.
pub(crate) fn media_roots(source: &SourceTable) -> Vec<MediaRoot> {
    let root =
        |subset: Option<&String>, path: &String| MediaRoot { subset: subset.cloned(), path: PathBuf::from(path) };
    let by_subset = source.media_by_subset.iter();
    let by_subset =
        by_subset.flat_map(|(subset, paths)| paths.as_slice().iter().map(move |path| root(Some(subset), path)));
    by_subset.chain(source.media.as_slice().iter().map(|path| root(None, path))).collect()
}
