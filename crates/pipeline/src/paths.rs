//! Paths of a pipeline to files of this machine: annotation files and media roots, with their names on every machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_media::MediaRoot;
use manyframe_sources::AnnotationFile;
use manyframe_storage::Stores;
use serde_json::Value;

use crate::error::PipelineError;
use crate::portable::{LocatedPattern, Pipeline, PortablePath, resolve_links};
use crate::settings::file::PipelineFile;
use crate::settings::paths::{path_settings, source_path_settings};
use crate::settings::source::SourceTable;
use crate::settings::values::OneOrMany;

/// The annotation files of a source, patterns expanded in sorted order.
///
/// # Errors
///
/// [`PipelineError::Annotations`] if a pattern matches no file.
pub fn annotation_files(source: LocatedSource<'_>) -> Result<Vec<AnnotationFile>, PipelineError> {
    let mut files = Vec::new();
    for pattern in located(&source.table.annotations, &source.portable.annotations) {
        let paths = pattern.expand(&source.stores.access()).map_err(|detail| PipelineError::Annotations {
            source_name: source.table.name.clone(),
            pattern: pattern.pattern.to_owned(),
            detail,
        })?;
        for (path, name) in paths {
            let subset = subset_of(&path, &source.table.annotation_root);
            let place = name.without_place(&path);
            files.push(AnnotationFile { subset, path, name: name.to_string().into(), place });
        }
    }
    Ok(files)
}

/// A source on this machine, and on every machine.
#[derive(Debug, Clone, Copy)]
pub struct LocatedSource<'p> {
    /// Its table. Paths are absolute.
    pub table: &'p SourceTable,
    portable: &'p SourceTable,
    /// Reaches what its URLs name.
    pub stores: &'p Stores,
    /// Where it is.
    pub pipeline: &'p Pipeline,
}

impl<'p> LocatedSource<'p> {
    /// Another source of its pipeline, by its name.
    pub fn other(&self, name: &str) -> Option<LocatedSource<'p>> {
        self.pipeline.sources().find(|source| source.table.name == name)
    }

    /// The dataset that it replays.
    pub fn dataset(&self) -> LocatedPattern<'p> {
        LocatedPattern { pattern: &self.table.from, portable: &self.portable.from }
    }
}

impl Pipeline {
    /// The sources, in the order of the file.
    pub fn sources(&self) -> impl Iterator<Item = LocatedSource<'_>> {
        let pairs = self.file.source.iter().zip(&self.portable.source);
        pairs.map(|(table, portable)| LocatedSource { table, portable, stores: &self.stores, pipeline: self })
    }

    /// The images and videos that no sample may show.
    pub fn unwanted(&self) -> impl Iterator<Item = LocatedPattern<'_>> {
        located(&self.file.decontamination.against, &self.portable.decontamination.against)
    }
}

fn located<'p>(here: &'p OneOrMany, everywhere: &'p OneOrMany) -> impl Iterator<Item = LocatedPattern<'p>> {
    let pairs = here.as_slice().iter().zip(everywhere.as_slice());
    pairs.map(|(pattern, portable)| LocatedPattern { pattern, portable })
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
pub fn media_roots(source: LocatedSource<'_>) -> Result<Vec<MediaRoot>, PipelineError> {
    let LocatedSource { table, portable, stores, .. } = source;
    let access = stores.access();
    let of_subsets = table.media_by_subset.iter().zip(portable.media_by_subset.values());
    let of_subsets =
        of_subsets.flat_map(|((subset, here), everywhere)| located(here, everywhere).map(move |p| (Some(subset), p)));
    let of_all = located(&table.media, &portable.media).map(|pattern| (None, pattern));
    let expanded = |pattern: LocatedPattern<'_>| {
        pattern.expand(&access).map_err(|detail| PipelineError::MediaRoot {
            source_name: table.name.clone(),
            pattern: pattern.pattern.to_owned(),
            detail,
        })
    };
    let links = located(&table.links, &portable.links).map(expanded).collect::<Result<Vec<_>, _>>()?;
    let links: Vec<PathBuf> = links.into_iter().flatten().map(|(path, _)| path).collect();
    let mut roots = Vec::new();
    for (subset, pattern) in of_subsets.chain(of_all) {
        let root = |(path, name): (_, PortablePath)| MediaRoot {
            subset: subset.cloned(),
            path,
            name: name.to_string(),
            links: links.clone(),
        };
        roots.extend(expanded(pattern)?.into_iter().map(root));
    }
    Ok(roots)
}

/// The settings of a pipeline as every machine writes them: variables unfilled, without their values, without the location of
/// the output, and without `[validate]`, which changes no sample.
pub fn portable_settings(pipeline: &Pipeline) -> Value {
    let mut value = serde_json::json!(pipeline.portable);
    if let Value::Object(fields) = &mut value {
        fields.insert("vars".to_owned(), Value::Object(serde_json::Map::new()));
        if let Some(Value::Object(output)) = fields.get_mut("output") {
            output.remove("directory");
            output.remove("root");
            output.remove("work");
        }
        fields.remove("validate");
        fields.remove("reuse");
    }
    value
}

/// A source with what its paths denote, however they are spelled.
pub fn resolved_source(table: &SourceTable) -> SourceTable {
    let mut resolved = table.clone();
    for setting in source_path_settings(0, &mut resolved) {
        *setting.text = resolve_links(setting.text).display().to_string();
    }
    resolved
}

/// The settings with what their paths denote, however they are spelled: equal if a build reads the same places.
pub fn resolved_settings(file: &PipelineFile) -> PipelineFile {
    let mut resolved = file.clone();
    for setting in path_settings(&mut resolved) {
        *setting.text = resolve_links(setting.text).display().to_string();
    }
    resolved
}
