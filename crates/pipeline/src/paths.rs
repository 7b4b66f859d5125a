//! Paths of a pipeline file: patterns to files of this machine, and paths of this machine as every machine writes them.
//!
//! **Invariant:** every path that goes into a dataset passes through here, so that a dataset does not depend on where a machine
//! keeps its files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_media::MediaRoot;
use manyframe_sources::AnnotationFile;
use serde_json::Value;

use crate::error::PipelineError;
use crate::parse::Pipeline;
use crate::settings::source::SourceTable;

/// The path itself, or the paths that match a pattern, in sorted order.
///
/// # Errors
///
/// If the pattern is malformed, a directory cannot be listed, or nothing matches.
pub fn expand_pattern(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let literal = PathBuf::from(pattern);
    if literal.exists() || !pattern.contains(['*', '?', '[']) {
        return Ok(vec![literal]);
    }
    let paths = glob::glob(pattern).map_err(|error| error.to_string())?;
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    paths.sort();
    if paths.is_empty() { Err("no file matches".to_owned()) } else { Ok(paths) }
}

/// The annotation files of a source, patterns expanded in sorted order.
///
/// # Errors
///
/// [`PipelineError::Annotations`] if a pattern matches no file.
pub fn annotation_files(pipeline: &Pipeline, source: &SourceTable) -> Result<Vec<AnnotationFile>, PipelineError> {
    let mut files = Vec::new();
    for pattern in source.annotations.as_slice() {
        let paths = expand_pattern(pattern).map_err(|detail| PipelineError::Annotations {
            source_name: source.name.clone(),
            pattern: pattern.clone(),
            detail,
        })?;
        for path in paths {
            let name = portable_path(&path, &pipeline.variables).into();
            files.push(AnnotationFile { subset: subset_of(&path, &source.annotation_root), path, name });
        }
    }
    Ok(files)
}

/// The directory of an annotation file below the root, as the name of its subset; empty outside the root.
fn subset_of(path: &Path, annotation_root: &str) -> Arc<str> {
    let below = path.strip_prefix(annotation_root).ok().filter(|_| !annotation_root.is_empty());
    below.and_then(Path::parent).map_or_else(|| Arc::from(""), |parent| Arc::from(parent.display().to_string()))
}

/// The media roots of a source, those of its subsets first, patterns expanded in sorted order.
///
/// # Errors
///
/// [`PipelineError::MediaRoot`] if a pattern of `media` or `links` matches nothing.
pub fn media_roots(source: &SourceTable) -> Result<Vec<MediaRoot>, PipelineError> {
    let of_subsets = source.media_by_subset.iter();
    let of_subsets =
        of_subsets.flat_map(|(subset, patterns)| patterns.as_slice().iter().map(move |p| (Some(subset), p)));
    let of_all = source.media.as_slice().iter().map(|pattern| (None, pattern));
    let expanded = |pattern: &String| {
        expand_pattern(pattern).map_err(|detail| PipelineError::MediaRoot {
            source_name: source.name.clone(),
            pattern: pattern.clone(),
            detail,
        })
    };
    let links: Vec<PathBuf> =
        source.links.as_slice().iter().map(expanded).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    let mut roots = Vec::new();
    for (subset, pattern) in of_subsets.chain(of_all) {
        let root = |path| MediaRoot { subset: subset.cloned(), path, links: links.clone() };
        roots.extend(expanded(pattern)?.into_iter().map(root));
    }
    Ok(roots)
}

/// The path with the value of a variable at its front written as the variable again: `${data}/a.json`.
pub fn portable_path(path: &Path, variables: &BTreeMap<String, String>) -> String {
    let text = path.display().to_string();
    let fitting = variables.iter().filter(|(_, value)| !value.is_empty() && path.starts_with(value.as_str()));
    let longest = fitting.max_by_key(|(_, value)| value.len());
    let rest = longest.and_then(|(name, value)| Some((name, text.strip_prefix(value.as_str())?)));
    match rest {
        Some((name, rest)) => format!("${{{name}}}{rest}"),
        None => text,
    }
}

/// The settings of a pipeline as every machine writes them: variables unfilled, without their values, without the location of
/// the output, and without `[validate]`, which changes no sample.
pub fn portable_settings(pipeline: &Pipeline) -> Value {
    let mut value = serde_json::json!(pipeline.file);
    if let Value::Object(fields) = &mut value {
        fields.insert("vars".to_owned(), Value::Object(serde_json::Map::new()));
        if let Some(Value::Object(output)) = fields.get_mut("output") {
            output.remove("directory");
            output.remove("root");
        }
        fields.remove("validate");
        fields.remove("reuse");
    }
    make_portable(&mut value, &pipeline.variables);
    value
}

fn make_portable(value: &mut Value, variables: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = portable_path(Path::new(text.as_str()), variables),
        Value::Array(items) => items.iter_mut().for_each(|item| make_portable(item, variables)),
        Value::Object(fields) => fields.values_mut().for_each(|field| make_portable(field, variables)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces paths of this machine inside texts, such as error messages that go into a ledger.
pub struct PortablePaths {
    /// Paths of this machine and their portable forms, the longest path first.
    replacements: Vec<(String, String)>,
}

impl PortablePaths {
    /// The media roots, datasets and variables of a pipeline, as written and with symbolic links resolved.
    ///
    /// # Errors
    ///
    /// [`PipelineError::MediaRoot`] if a pattern matches nothing.
    pub fn of(pipeline: &Pipeline) -> Result<Self, PipelineError> {
        let mut replacements = Vec::new();
        let mut add = |path: &Path, portable: String| {
            let resolved = path.canonicalize().ok().map(|resolved| resolved.display().to_string());
            let forms = [Some(path.display().to_string()), resolved].into_iter().flatten();
            // A short path such as "." is part of too much text that is not a path.
            replacements
                .extend(forms.filter(|form| form.len() > 3 && *form != portable).map(|form| (form, portable.clone())));
        };
        for table in &pipeline.file.source {
            let roots = media_roots(table)?.into_iter().map(|root| root.path);
            for path in roots.chain((!table.from.is_empty()).then(|| table.from.clone().into())) {
                add(&path, portable_path(&path, &pipeline.variables));
            }
        }
        for (name, value) in &pipeline.variables {
            add(Path::new(value), format!("${{{name}}}"));
        }
        replacements.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        replacements.dedup();
        Ok(Self { replacements })
    }

    /// The text with every path of this machine in its portable form.
    pub fn in_text(&self, mut text: String) -> String {
        for (path, portable) in &self.replacements {
            if text.contains(path.as_str()) {
                text = text.replace(path.as_str(), portable);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_begins_with_the_longest_variable_that_fits() {
        let variables = [("data", "/data"), ("images", "/data/images")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let portable = |path: &str| portable_path(Path::new(path), &variables);
        assert_eq!(portable("/data/x/y.json"), "${data}/x/y.json");
        assert_eq!(portable("/data/images/y.jpg"), "${images}/y.jpg");
        assert_eq!(portable("/database/y.json"), "/database/y.json");
    }

    #[test]
    fn a_text_keeps_no_path_of_this_machine() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().display().to_string();
        let text = format!(
            "name = \"x\"\n[vars]\ndata = {data:?}\n[format]\ntokenizer = \"t\"\n[[source]]\nname = \"a\"\nkind = \"llava\"\n\
             annotations = \"a.json\"\nmedia = \"${{data}}/images\"\n"
        );
        let pipeline = crate::parse::parse(&text, Path::new("p.toml"), &[]).unwrap();
        let paths = PortablePaths::of(&pipeline).unwrap();
        assert_eq!(paths.in_text(format!("cannot read {data}/images/1.jpg")), "cannot read ${data}/images/1.jpg");
    }
}
