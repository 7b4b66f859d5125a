//! Every setting that is a path or a pattern.

use std::collections::BTreeMap;

use manyframe_format::Template;

use crate::settings::file::PipelineFile;
use crate::settings::source::SourceTable;
use crate::settings::values::OneOrMany;

/// A setting that is a path or a pattern, and set.
pub(crate) struct PathSetting<'f> {
    /// The keys that lead to it in the file; a number is a position in an array.
    pub(crate) keys: Vec<String>,
    pub(crate) role: PathRole,
    pub(crate) text: &'f mut String,
}

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathRole {
    Tokenizer,
    /// A chat template: a file, or a directory with one.
    Template,
    /// A file or a pattern.
    Annotations,
    AnnotationRoot,
    /// A table beside annotations.
    Table,
    /// Directories and archives, or a pattern.
    Media,
    /// Directories that links below media may lead to, or a pattern.
    Links,
    /// A dataset, or the pipeline file that builds it.
    Dataset,
    /// Images and videos that no sample may show: files, directories, datasets or a pattern.
    Unwanted,
    /// Where this build writes.
    Output,
    /// The directory of a model.
    Model,
    Policy,
}

impl PathRole {
    /// Whether it must be on this machine: what it is for is opened by others, or read as a whole.
    pub(crate) fn is_local(self) -> bool {
        match self {
            Self::Tokenizer
            | Self::Template
            | Self::Links
            | Self::Unwanted
            | Self::Output
            | Self::Model
            | Self::Policy => true,
            Self::Annotations | Self::AnnotationRoot | Self::Table | Self::Media | Self::Dataset => false,
        }
    }
}

/// The paths of a file, in a fixed order. Those that are not set are left out.
pub(crate) fn path_settings(file: &mut PipelineFile) -> Vec<PathSetting<'_>> {
    let PipelineFile { output, format, decontamination, validate, source, .. } = file;
    let mut found = Vec::new();
    add(&mut found, &["output", "directory"], PathRole::Output, &mut output.directory);
    add(&mut found, &["output", "root"], PathRole::Output, &mut output.root);
    add(&mut found, &["output", "work"], PathRole::Output, &mut output.work);
    add(&mut found, &["format", "tokenizer"], PathRole::Tokenizer, &mut format.tokenizer);
    if let Some(Template::Jinja(template)) = &mut format.spec.template {
        let keys: &[&str] = if template.is_table() {
            &["format", "template", "jinja", "path"]
        } else {
            &["format", "template", "jinja"]
        };
        add(&mut found, keys, PathRole::Template, template.path_mut());
    }
    add_all(&mut found, &["decontamination", "against"], PathRole::Unwanted, &mut decontamination.against);
    if let Some(validate) = validate {
        add(&mut found, &["validate", "model"], PathRole::Model, &mut validate.model);
        add(&mut found, &["validate", "policy"], PathRole::Policy, &mut validate.policy);
    }
    for (index, table) in source.iter_mut().enumerate() {
        add_source(&mut found, index, table);
    }
    found
}

/// The paths of one source, which is at this position.
pub(crate) fn source_path_settings(index: usize, table: &mut SourceTable) -> Vec<PathSetting<'_>> {
    let mut found = Vec::new();
    add_source(&mut found, index, table);
    found
}

fn add_source<'f>(found: &mut Vec<PathSetting<'f>>, index: usize, table: &'f mut SourceTable) {
    let number = index.to_string();
    let at = |key: &'static str| ["source", &number, key];
    add_all(found, &at("annotations"), PathRole::Annotations, &mut table.annotations);
    add(found, &at("annotation_root"), PathRole::AnnotationRoot, &mut table.annotation_root);
    for (position, join) in table.options.join.iter_mut().enumerate() {
        add(found, &["source", &number, "join", &position.to_string(), "table"], PathRole::Table, &mut join.table);
    }
    add(found, &at("scores"), PathRole::Table, &mut table.options.scores);
    add_all(found, &at("media"), PathRole::Media, &mut table.media);
    add_by_subset(found, &at("media_by_subset"), &mut table.media_by_subset);
    add_all(found, &at("links"), PathRole::Links, &mut table.links);
    add(found, &at("from"), PathRole::Dataset, &mut table.from);
    add_all(found, &at("delivered_in"), PathRole::Dataset, &mut table.delivered_in);
    add_all(found, &at("not_delivered_in"), PathRole::Dataset, &mut table.not_delivered_in);
}

fn add<'f>(found: &mut Vec<PathSetting<'f>>, keys: &[&str], role: PathRole, text: &'f mut String) {
    if !text.is_empty() {
        found.push(PathSetting { keys: keys.iter().map(|key| (*key).to_owned()).collect(), role, text });
    }
}

fn add_all<'f>(found: &mut Vec<PathSetting<'f>>, keys: &[&str], role: PathRole, texts: &'f mut OneOrMany) {
    match texts {
        OneOrMany::One(text) => add(found, keys, role, text),
        OneOrMany::Many(texts) => {
            for (index, text) in texts.iter_mut().enumerate() {
                add(found, &[keys, &[&index.to_string()]].concat(), role, text);
            }
        }
    }
}

fn add_by_subset<'f>(found: &mut Vec<PathSetting<'f>>, keys: &[&str], by_subset: &'f mut BTreeMap<String, OneOrMany>) {
    for (subset, texts) in by_subset {
        add_all(found, &[keys, &[subset]].concat(), PathRole::Media, texts);
    }
}
