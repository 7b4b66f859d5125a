//! From a checked file to files on this machine: patterns become lists, and every path gets a name that other machines share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_media::MediaRoot;
use manyframe_sources::AnnotationFile;

use crate::error::PipelineError;
use crate::{Pipeline, SourceTable};

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
pub fn annotation_files(pipeline: &Pipeline, source: &SourceTable) -> Result<Vec<AnnotationFile>, PipelineError> {
    let mut files = Vec::new();
    for pattern in source.annotations.as_slice() {
        for path in matching_paths(&source.name, pattern)? {
            let subset = path.strip_prefix(&source.annotation_root).ok().filter(|_| !source.annotation_root.is_empty());
            let subset = subset.and_then(Path::parent).map(|parent| parent.display().to_string()).unwrap_or_default();
            let name = display_name(&path, &pipeline.variables);
            files.push(AnnotationFile { path, name: name.into(), subset: Arc::from(subset) });
        }
    }
    Ok(files)
}

fn matching_paths(source: &str, pattern: &str) -> Result<Vec<PathBuf>, PipelineError> {
    let wrong = |detail: String| PipelineError::Annotations {
        source_name: source.to_owned(),
        pattern: pattern.to_owned(),
        detail,
    };
    expand(pattern).map_err(wrong)
}

/// The path, or the paths that match a pattern, in sorted order.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let literal = PathBuf::from(pattern);
    if literal.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![literal]);
    }
    let paths = glob::glob(pattern).map_err(|error| error.to_string())?;
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    paths.sort();
    if paths.is_empty() { Err("no file matches".to_owned()) } else { Ok(paths) }
}

/// The media roots of a source, those of its subsets first, patterns expanded in sorted order.
pub fn media_roots(source: &SourceTable) -> Result<Vec<MediaRoot>, PipelineError> {
    let mut roots = Vec::new();
    let mut add = |subset: Option<&String>, pattern: &String| -> Result<(), PipelineError> {
        let wrong =
            |detail| PipelineError::MediaRoot { source_name: source.name.clone(), pattern: pattern.clone(), detail };
        let paths = expand(pattern).map_err(wrong)?.into_iter();
        roots.extend(paths.map(|path| MediaRoot { subset: subset.cloned(), path }));
        Ok(())
    };
    for (subset, patterns) in &source.media_by_subset {
        patterns.as_slice().iter().try_for_each(|pattern| add(Some(subset), pattern))?;
    }
    source.media.as_slice().iter().try_for_each(|pattern| add(None, pattern))?;
    Ok(roots)
}
