//! What a survey finds.

use std::collections::BTreeSet;
use std::path::PathBuf;

use manyframe_core::Rejection;
use manyframe_sources::SourceOptions;

/// What was found.
#[derive(Debug, Default)]
pub struct Survey {
    /// Annotation files that can be read, one source for files whose names differ in numbers only.
    pub sources: Vec<FoundSource>,
    /// What cannot be read, and files that could be annotations, with the reason.
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
    /// Files that are missing, as the names of the others say.
    pub missing_files: Option<String>,
    /// What its records are, for people, such as `LLaVA conversations`.
    pub form: String,
    /// Whether its name says that it is to be held out from training, and another source is there to train on: its split.
    pub held_out: Option<&'static str>,
    /// Whether all of its records are texts.
    pub is_text: bool,
    /// What reads them, besides the kind.
    pub options: SourceOptions,
    /// Why less is read without `options.fields`.
    pub without_fields: Option<Rejection>,
    /// Fields of its first record that could say which of them are good.
    pub scores: Vec<String>,
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
    /// Directories and archives that have files of the same names, of which nothing tells the right one: none is in `media`.
    pub unclear_media: Vec<PathBuf>,
    /// Whether other directories or archives have files under many of the names that were found.
    pub(super) has_rivals: bool,
    /// Directories to which links below `media` lead.
    pub links: Vec<PathBuf>,
    /// Endings of files beside those that were read, of which nothing is read.
    pub ignored: BTreeSet<String>,
}
