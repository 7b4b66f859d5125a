//! What is in directories: annotation files and what they hold, where their media are, tokenizers, datasets. For a pipeline file
//! that a program writes.
//!
//! The first records of each annotation file are read, and looked for. Nothing is decoded.

mod entries;
mod roots;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::{Record, Rejection};
use manyframe_sources::{AnnotationFile, SourceError, SourceKind, SourceOptions, SourceSpec};

use self::entries::{Entries, FileGroup};
use self::roots::{Roots, find_roots};

/// How many records of a source are read.
const NUM_RECORDS: usize = 200;
/// How many files of a source they are taken from.
const MAX_FILES: usize = 4;

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// Annotation files that can be read, one source for files whose names differ in numbers only.
    pub sources: Vec<FoundSource>,
    /// Annotation files that cannot be read, and files that could be some, with the reason.
    pub unread: Vec<(PathBuf, String)>,
    /// Datasets that manyframe built.
    pub datasets: Vec<PathBuf>,
    /// Tokenizers: files, or directories of the Hugging Face Hub.
    pub tokenizers: Vec<PathBuf>,
    /// Whether there were too many files to look at all of them.
    pub is_partial: bool,
}

/// Annotation files that belong together.
#[derive(Debug)]
pub struct FoundSource {
    /// A path, or a pattern that matches exactly these files.
    pub annotations: String,
    /// Number of files.
    pub num_files: usize,
    /// Number of records that were read to find out.
    pub num_records: usize,
    /// Those of them that can be delivered, as far as annotations say.
    pub num_read: usize,
    /// Why the first of the others cannot.
    pub rejection: Option<Rejection>,
    /// Turns, images and videos of the first record that can be.
    pub example: (usize, usize, usize),
    /// Number of images and videos that the records show.
    pub num_media: usize,
    /// Those of them that are there.
    pub num_found: usize,
    /// The first that is not, as the annotations name it.
    pub missing: Option<String>,
    /// Directories and archives that have them.
    pub media: Vec<PathBuf>,
    /// Other directories and archives that have files of the same names.
    pub other_media: Vec<PathBuf>,
    /// Directories to which links below `media` lead.
    pub links: Vec<PathBuf>,
}

/// Looks at directories and files.
///
/// # Errors
/// If one of the paths cannot be read. What is below them costs itself only.
pub fn survey(paths: &[PathBuf]) -> std::io::Result<Survey> {
    let entries = Entries::below(paths)?;
    let mut survey = Survey { is_partial: entries.is_partial, ..Survey::default() };
    for group in &entries.annotations {
        if group.pattern.contains("${") {
            let reason = "a pipeline file cannot name a path with \"${\" in it".to_owned();
            survey.unread.extend(group.paths.iter().map(|path| (path.clone(), reason.clone())));
            continue;
        }
        let Some(first) = group.paths.first() else { continue };
        match read_group(group, &entries) {
            Ok(source) if source.num_read > 0 => survey.sources.push(source),
            Ok(source) => {
                let reason = source.rejection.map_or_else(|| "it has no record".to_owned(), |it| it.to_string());
                survey.unread.push((first.clone(), reason));
            }
            Err(error) => survey.unread.push((first.clone(), reason_of(error))),
        }
    }
    survey.datasets = entries.datasets;
    survey.tokenizers = entries.tokenizers;
    Ok(survey)
}

/// Without the path, which is said beside it.
fn reason_of(error: SourceError) -> String {
    match error {
        SourceError::NotRecords { found, advice, .. } => format!("{found}; {advice}"),
        SourceError::Read { source, .. } => source.to_string(),
        SourceError::Rows { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

fn read_group(group: &FileGroup, entries: &Entries) -> Result<FoundSource, SourceError> {
    let step = group.paths.len().div_ceil(MAX_FILES).max(1);
    let files: Vec<_> = group.paths.iter().step_by(step).collect();
    let share = NUM_RECORDS / files.len().max(1);
    let (mut num_records, mut rejection, mut records) = (0, None, Vec::new());
    for path in files {
        for parsed in read_file(path, share)? {
            num_records += 1;
            match parsed {
                Ok(record) => records.push(record),
                Err(rejected) => rejection = rejection.or(Some(rejected)),
            }
        }
    }
    let Roots { media, links, num_media, num_found, missing, others } =
        find_roots(Path::new(&group.pattern), &records, entries);
    let example = records.first().map_or((0, 0, 0), |record| {
        let num_videos = record.media.iter().filter(|it| it.kind == manyframe_core::MediaKind::Video).count();
        (record.turns.len(), record.media.len() - num_videos, num_videos)
    });
    Ok(FoundSource {
        annotations: group.pattern.clone(),
        num_files: group.paths.len(),
        num_records,
        num_read: records.len(),
        rejection,
        example,
        num_media,
        num_found,
        missing,
        media,
        other_media: others,
        links,
    })
}

/// The first records of a file.
fn read_file(path: &Path, num_records: usize) -> Result<Vec<Result<Record, Rejection>>, SourceError> {
    let file = AnnotationFile {
        path: path.to_owned(),
        name: Arc::from("file"),
        place: path.to_owned(),
        subset: Arc::from(""),
    };
    let (kind, options) = (SourceKind::Auto, SourceOptions::default());
    let source =
        manyframe_sources::open(SourceSpec { name: Arc::from("survey"), kind, annotations: vec![file], options })?;
    let mut parsed = Vec::new();
    for split in source.splits()? {
        for raw in source.read(&split)?.take(num_records - parsed.len()) {
            parsed.push(source.parse(&raw?).map_err(|rejected| rejected.rejection));
        }
    }
    Ok(parsed)
}
